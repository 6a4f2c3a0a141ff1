import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { allBugs } from '../../scripts/planted-bugs/all-bugs.ts';
import { hunt } from '../../scripts/planted-bugs/hunt.ts';
import { planted, type PlantedBug } from '../../scripts/planted-bugs/planted-bug.ts';
import { root } from '../../scripts/planted-bugs/source-copy.ts';

/** Each is violated by one of the first seeds; `npm run -s planted-bugs` looks for all of them. */
const quick = ['claim-keeps-fence', 'message-stranded', 'fingerprint-skipped', 'state-outside-step'];
const seedsMax = 40;
const timeout = 120_000;

describe('planted bugs', () => {
  it.each(allBugs)('$name can still be planted', ({ name, edits }) => {
    // One after the other: two may be in one file.
    const texts = new Map<string, string>();
    for (const edit of edits) texts.set(edit.file, planted(texts.get(edit.file) ?? readFileSync(path.join(root, edit.file), 'utf8'), edit, name));
    for (const [file, text] of texts) expect(text).not.toBe(readFileSync(path.join(root, file), 'utf8'));
  });

  it('have names of their own', () => {
    expect(new Set(allBugs.map(({ name }) => name)).size).toBe(allBugs.length);
  });

  it('are refused where the code has moved on', () => {
    const edit = { file: 'src/a.ts', find: 'fence + 1', put: 'fence' };
    expect(() => planted('fence', edit, 'gone')).toThrow(/gone: its text stands 0 times in src\/a.ts/);
    expect(() => planted('fence + 1; fence + 1', edit, 'twice')).toThrow(/twice: its text stands 2 times/);
  });

  it('are found by the simulation, each by a seed that holds without it', { timeout }, async () => {
    const hunted = await hunt(allBugs.filter(({ name }) => quick.includes(name)), { threads: 2, seedsMax });
    expect(hunted.map(({ bug, finding, fault }) => [bug.name, finding !== null, fault])).toEqual(quick.map((name) => [name, true, null]));
  });

  it('are not found where there is none', { timeout }, async () => {
    const find = 'export function claim(';
    const none: PlantedBug = { name: 'none', breaks: 'nothing', fault: 'nothing', edits: [{ file: 'src/core/claim.ts', find, put: find }] };
    expect(await hunt([none], { threads: 1, seedsMax: 10 })).toMatchObject([{ finding: null, fault: null }]);
  });
});
