import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planCompaction } from '../../src/agent/compaction-plan.ts';
import { compactionPieces, cutText } from '../../src/agent/compaction-text.ts';
import { bytesPerToken, estimatedTokens, fileTokens } from '../../src/agent/context-size.ts';
import { windowTokensOf } from '../../src/agent/context-window.ts';
import { PromptHistory, summaryHead } from '../../src/agent/prompt.ts';
import { acceptCompact } from '../../src/core/accept/compact.ts';
import { acceptRedact } from '../../src/core/accept/redact.ts';
import type { Compaction } from '../../src/core/compaction.ts';
import type { Entry } from '../../src/core/entry.ts';
import { isVisible } from '../../src/core/intervals.ts';
import { isRefusal } from '../../src/core/errors.ts';
import { upgradeSession, type Session } from '../../src/core/session.ts';
import { utf8Bytes } from '../../src/core/json.ts';
import { userTexts } from '../support/checked-prompts.ts';
import { callPart, PureSession, textPart } from '../support/pure-session.ts';
import { happen, happeningsOf, newborn } from '../support/random-history.ts';
import { seedOf } from '../support/seed.ts';

function historyOf(pure: PureSession): PromptHistory {
  const history = new PromptHistory(pure.session.visible, pure.session.redactions);
  history.append(pure.log);
  return history;
}

/** Makes a summary of all but what nothing has answered. */
function summarise(pure: PureSession, fields: Partial<Compaction> = {}, redactions = pure.session.redactions): void {
  const history = historyOf(pure);
  const plan = planCompaction(history.items, history.unanswered, 0);
  if (plan === null) throw new Error('there is something to compact');
  const trigger = pure.session.turn?.compaction?.trigger ?? 'threshold';
  const compaction: Compaction = { summary: 'so far', throughSeq: plan.throughSeq, keeps: plan.keeps, trigger, tokensBefore: 900, tokensAfter: 90, windowTokens: 1_000, ...fields };
  expect(pure.settle({ kind: 'compacted', attempt: { ...pure.attempt({ inputTokens: 7 }), purpose: 'compaction' }, compaction, redactions })).toBe(null);
}

/** One turn that is over, and a turn that is to compact it, claimed. */
function compacting(): PureSession {
  const pure = new PureSession({ text: 'hello' });
  pure.claim();
  pure.generated([textPart('hi')]);
  expect(isRefusal(pure.command(acceptCompact({ instructions: 'briefly' })))).toBe(false);
  pure.claim();
  return pure;
}

describe('a turn that compacts', () => {
  it('has one attempt for it, and ends with the summary', () => {
    const pure = compacting();
    expect(pure.session.turn).toMatchObject({ origin: 'compaction', compaction: { trigger: 'manual', instructions: 'briefly' }, attempt: { purpose: 'compaction' } });
    summarise(pure);
    expect([pure.status, pure.session.turn]).toEqual(['idle', null]);
    expect(pure.session.context).toEqual({ tokens: 90, windowTokens: 1_000 });
    expect(pure.session.usage).toMatchObject({ attempts: 2, inputTokens: 10 });
  });

  it('is done again by the next worker when its own dies: the lost attempt is counted, and there is one summary', () => {
    const pure = compacting();
    pure.takeOver('wrk_b');
    expect(pure.last('attempt-lost')).toMatchObject({ attempt: { purpose: 'compaction', usage: null } });
    expect(pure.session.turn?.attempt).toMatchObject({ purpose: 'compaction', number: 2 });
    summarise(pure);
    expect(pure.entries('history-compacted')).toHaveLength(1);
    expect(pure.last('turn-ended')?.reason).toBe('complete');
  });

  it('is not joined by what is sent to it: that comes first in the queue when it ends', () => {
    const pure = compacting();
    pure.send('queued');
    pure.send('steered', 'steer');
    expect(pure.session.turn?.compaction).not.toBe(null);
    summarise(pure);
    expect(pure.last('user-message')?.parts).toEqual([{ type: 'text', text: 'steered' }]);
    expect(pure.last('user-message')?.steered).toBe(undefined);
  });

  it('makes its summary anew when something was redacted meanwhile that it may say', () => {
    const pure = compacting();
    const message = pure.entries('user-message')[0] as Entry;
    expect(pure.command(acceptRedact({ entries: [message], by: 'ada' }))).toMatchObject({ redacted: true });
    summarise(pure, { summary: 'hello' }, 0);
    expect(pure.entries('history-compacted')).toEqual([]);
    expect(pure.last('attempt-failed')).toMatchObject({ error: { code: 'redacted_meanwhile' } });
    expect(pure.session.turn?.retry?.reason).toBe('redacted_meanwhile');
    expect(JSON.stringify(pure.log)).not.toContain('"summary":"hello"');
  });
});

describe('a redaction', () => {
  it('is refused while a summary has come that it does not name', () => {
    const pure = compacting();
    summarise(pure);
    const message = pure.entries('user-message')[0] as Entry;
    expect(pure.command(acceptRedact({ entries: [message], by: 'ada' }))).toMatchObject({ refused: 'session_busy', details: { seq: pure.last('history-compacted')?.seq } });
    expect(pure.command(acceptRedact({ entries: [message, pure.last('history-compacted') as Entry], by: 'ada' }))).toMatchObject({ redacted: true });
    expect(userTexts(historyOf(pure).messages)).toEqual(['[redacted]']);
  });
});

describe('a history', () => {
  it('of which a summary stands for the beginning is the same however it is folded, and grows on from it', () => {
    const pure = compacting();
    const live = historyOf(pure);
    summarise(pure);
    pure.send('and now?');
    pure.claim();
    live.append(pure.log);
    expect(live.messages).toEqual(historyOf(pure).messages);
    expect(userTexts(live.messages)).toEqual([`${summaryHead}\nso far`, 'and now?']);
    expect([live.isFreshlyCompacted, live.countedTokens]).toEqual([true, null]);
    pure.generated([textPart('well')], 'stop', { inputTokens: 30, outputTokens: 4 });
    live.append(pure.log);
    expect([live.isFreshlyCompacted, live.countedTokens]).toEqual([false, 34]);
    pure.send('x'.repeat(300));
    live.append(pure.log);
    expect(live.countedTokens).toBe(34 + estimatedTokens(live.messages.slice(-1)));
  });

  it('that begins at its last summary is the same as one that has everything, whatever happened', () => {
    let begun = 0;
    fc.assert(fc.property(fc.nat(11), happeningsOf(120, 40), (kind, happenings) => {
      const pure = newborn(kind);
      for (const happening of happenings) if (happen(pure, happening)) look(pure);
    }), { seed: seedOf('begun at a summary'), numRuns: 150 });
    expect(begun).toBeGreaterThan(100);

    function look(pure: PureSession): void {
      const { compactedSeq, visible, redactions } = pure.session;
      if (compactedSeq === null) return;
      begun += 1;
      const summary = pure.log[compactedSeq - 1];
      if (summary?.kind !== 'history-compacted') throw new Error(`entry ${compactedSeq} is a summary`);
      expect([summary.redacted, pure.log.findLast((entry) => entry.kind === 'history-compacted' && isVisible(visible, entry.seq) && entry.redacted === undefined)]).toEqual([undefined, summary]);
      const begins = new PromptHistory(visible, redactions);
      begins.beginBefore(summary, summary.keeps.map((seq) => pure.log[seq - 1] as Entry));
      begins.append(pure.log.slice(summary.throughSeq));
      const whole = historyOf(pure);
      expect([begins.messages, begins.countedTokens, begins.unanswered, begins.contextVersion('profile'), begins.lastSeq]).toEqual([whole.messages, whole.countedTokens, whole.unanswered, whole.contextVersion('profile'), whole.lastSeq]);
    }
  });

  it('has a message as unanswered until a generation without calls has come, whoever failed or stopped in between', () => {
    const pure = new PureSession({ text: 'one' });
    pure.claim();
    pure.generated([callPart(0, 'look')]);
    pure.results();
    expect(historyOf(pure).unanswered.size).toBe(1);
    pure.failed({ retryable: false });
    pure.send('two');
    pure.claim();
    pure.stop();
    pure.send('three');
    pure.claim();
    expect(historyOf(pure).unanswered.size).toBe(3);
    pure.generated([textPart('all three')]);
    expect(historyOf(pure).unanswered.size).toBe(0);
  });
});

describe('a plan', () => {
  it('never cuts between calls and their results, and counts nothing that comes again by itself', () => {
    const pure = new PureSession({ text: 'one' });
    pure.claim();
    expect(planCompaction(historyOf(pure).items, historyOf(pure).unanswered, 0)).toBe(null);
    pure.settle({ kind: 'generated', attempt: pure.attempt(), parts: [callPart(0, 'look'), callPart(1, 'look')], finishReason: 'tool-calls', warnings: [], injected: [{ provider: 'p', version: '1', text: 'long '.repeat(50) }] });
    pure.results({ 0: { output: 'x'.repeat(300) }, 1: { output: 'y' } });
    const { items, unanswered } = historyOf(pure);
    expect(items.map(({ kind }) => kind)).toEqual(['said', 'context', 'step', 'results']);
    const [, , , results] = items;
    // Room for the results and not for the step: both go.
    const plan = planCompaction(items, unanswered, (results?.tokens ?? 0) + 1);
    expect(plan).toMatchObject({ throughSeq: results?.seq, keeps: [pure.entries('user-message')[0]?.seq], earlier: null });
    expect(plan?.covered.map(({ kind }) => kind)).toEqual(['said', 'step', 'results']);
    expect(planCompaction(items, unanswered, 10_000)).toBe(null);
  });
});

describe('the text that is summarised', () => {
  it('comes in pieces that fit, each item once, and what is too long by itself with its head and tail', () => {
    const pure = new PureSession({ text: `first ${'😀'.repeat(900)} last` });
    pure.claim();
    pure.generated([textPart('an answer')]);
    const pieces = compactionPieces(historyOf(pure).items, 300);
    for (const piece of pieces) expect(utf8Bytes(piece)).toBeLessThanOrEqual(300 * bytesPerToken);
    expect(pieces.join('\n')).toMatch(/^User: first 😀+\n\[… \d+ of \d+ bytes left out …\]\n😀+ last\nAssistant: an answer$/u);
    for (let bytes = 80; bytes < 200; bytes += 1) expect(utf8Bytes(cutText('é😀'.repeat(200), bytes))).toBeLessThanOrEqual(bytes);
  });

  it('names files and counts them as a stated figure, however large they are', () => {
    const file = { role: 'user', content: [{ type: 'file', mediaType: 'image/png', data: { type: 'data', data: 'A'.repeat(1_000_000) } }] };
    expect(estimatedTokens(file)).toBeGreaterThanOrEqual(fileTokens);
    expect(estimatedTokens(file)).toBeLessThan(fileTokens + 50);
  });
});

describe('the window of a model', () => {
  it.each([
    ['gpt-4.1-mini', 1_047_576], ['gpt-5.1', 272_000], ['gpt-5-chat-latest', 128_000], ['gpt-4o-2024-08-06', 128_000], ['gpt-4-0125-preview', 128_000], ['gpt-4-0613', 8_192], ['openai/gpt-4', 8_192], ['o3', 200_000], ['o4-mini', 200_000], ['o1-mini', 128_000],
    ['claude-sonnet-4-5', 200_000], ['anthropic.claude-3-haiku-v1:0', 200_000], ['models/gemini-2.5-pro', 1_048_576], ['gemini-1.5-pro', 2_097_152], ['deepseek-chat', 128_000],
    ['scripted-1', 128_000], ['demo-rules', 128_000], ['', 128_000],
  ])('%s is %i tokens', (modelId, tokens) => {
    expect(windowTokensOf(modelId)).toBe(tokens);
  });
});

describe('a session that an older version stored', () => {
  it('has no size of its context and no compaction to make', () => {
    const { session } = new PureSession({ text: 'hello' });
    const { context: _context, compactedSeq: _compactedSeq, ...row } = session;
    const { compaction: _compaction, ...turn } = row.turn ?? {};
    expect(upgradeSession({ ...row, turn } as unknown as Session)).toEqual(session);
  });
});
