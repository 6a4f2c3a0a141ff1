import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { stateMachineCommand, stateMachineFile, stateMachineText } from '../../scripts/state-machine.ts';

describe('docs/state-machine.md', () => {
  it('is what the core does', () => {
    const written = existsSync(stateMachineFile) ? readFileSync(stateMachineFile, 'utf8') : '';
    if (written !== stateMachineText()) console.log(`docs/state-machine.md is not what the core does any more; write it anew with:\n\n  ${stateMachineCommand}\n`);
    expect(written).toBe(stateMachineText());
  });

  it('shows each status reached, and left but for the last', () => {
    const text = stateMachineText();
    for (const status of ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed', 'ended']) expect(text).toMatch(new RegExp(`--> ${status} :`));
    for (const status of ['idle', 'ready', 'running', 'requires_action', 'waiting', 'failed']) expect(text).toMatch(new RegExp(`  ${status} --> `));
    expect(text).not.toMatch(/ended --> /);
  });
});
