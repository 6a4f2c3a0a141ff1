import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { acceptRedact } from '../../src/core/accept/redact.ts';
import { acceptSettings } from '../../src/core/accept/settings.ts';
import type { Entry, EntryKind, EntryOf } from '../../src/core/entry.ts';
import { isRedactable, redactEntry, redactedText } from '../../src/core/redact.ts';
import { unansweredIn } from '../support/answered-prompt.ts';
import { PureSession, callPart, liveText, textPart } from '../support/pure-session.ts';
import { allOf, happen, happeningsOf, newborn } from '../support/random-history.ts';
import { seedOf } from '../support/seed.ts';

/** What the random histories put into contents. */
const contents = /profile \d|keep \d|message \d|simulated \d|persona \d|summary \d|edited \d|instead \d|title \d|result \d|"early"|"late"|hello|"pick":/;

function redactAll(pure: PureSession): void {
  pure.stop({ holdQueue: true });
  const inQueue = new Set(pure.session.queue.map(({ seq }) => seq));
  for (const entry of pure.log.filter(isRedactable)) {
    const reply = pure.command(acceptRedact({ entries: allOf(pure, entry), by: 'ada' }));
    // At rest nothing but what waits is in use.
    if (!inQueue.has(entry.seq)) expect(reply).toMatchObject({ redacted: expect.any(Boolean) });
  }
}

describe('an entry whose content is removed', () => {
  it('holds nothing of it, whatever kind it is, and the log stays whole', () => {
    const kinds = new Set<string>();
    fc.assert(fc.property(fc.nat(11), happeningsOf(80), (kind, history) => {
      const pure = newborn(kind);
      for (const happening of history) happen(pure, happening);
      const before = pure.log.slice();
      redactAll(pure);
      for (const [place, entry] of pure.log.entries()) {
        if (entry.redacted === undefined) continue;
        kinds.add(entry.kind);
        expect(JSON.stringify(entry)).not.toMatch(contents);
        const { seq, kind: of, v, atMs } = entry;
        expect({ seq, of, v, atMs }).toEqual({ seq: before[place]?.seq ?? seq, of: before[place]?.kind ?? of, v: before[place]?.v ?? v, atMs: before[place]?.atMs ?? atMs });
        expect(redactEntry(entry, { atMs: 1, by: 'another' })).toBe(entry);
      }
      if (pure.session.queue.length === 0) expect(JSON.stringify([pure.session.preview, pure.session.title, pure.session.metadata, pure.session.summary, pure.session.simulator])).not.toMatch(contents);
      expect(unansweredIn(pure.log, pure.session.visible)).toBe(null);
    }), { seed: seedOf('redaction'), numRuns: 150 });
    expect([...kinds].sort()).toEqual(expect.arrayContaining(['assistant-step', 'message-queued', 'session-created', 'title-set', 'tool-results', 'user-message']));
  });

  it('is shown to the model as removed, with its calls and their results in place', () => {
    const pure = new PureSession({ text: 'my card is 4111' });
    pure.claim();
    pure.generated([{ type: 'reasoning', text: 'the card 4111' }, callPart(0, 'look', { input: { card: '4111' }, providerMetadata: { x: { signed: '4111' } } })]);
    pure.results({ 0: { output: { card: '4111' } } });
    pure.generated([textPart('you said 4111')]);
    for (const entry of pure.log.filter(isRedactable)) expect(pure.command(acceptRedact({ entries: [entry], by: 'operator' }))).toMatchObject({ redacted: true });
    expect(JSON.stringify(pure.log)).not.toContain('4111');
    expect(pure.session.preview).toBe(null);
    expect(pure.entries('user-message')[0]?.parts).toEqual([{ type: 'text', text: redactedText }]);
    expect(pure.entries('tool-results')[0]?.results).toMatchObject([{ index: 0, toolName: 'look', outcome: 'done', output: redactedText }]);
    expect(pure.log.filter(({ redacted }) => redacted !== undefined).every(({ redacted }) => redacted?.by === 'operator')).toBe(true);
    expect(pure.session.redactions).toBe(pure.entries('entry-redacted').length);
  });

  it('is not removed while its turn runs or its message waits, and is afterwards', () => {
    const pure = new PureSession({ text: 'now' });
    pure.claim();
    pure.show(liveText(0, 'so far'));
    pure.send('later', 'queue');
    const [running, waiting] = [pure.last('user-message') as Entry, pure.last('message-queued') as Entry];
    for (const entry of [running, waiting]) expect(pure.command(acceptRedact({ entries: [entry], by: 'ada' }))).toMatchObject({ refused: 'session_busy' });
    pure.generated([textPart('done')]);
    expect(pure.command(acceptRedact({ entries: [running], by: 'ada' }))).toMatchObject({ redacted: true });
    expect(pure.command(acceptRedact({ entries: [pure.log[running.seq - 1] as Entry], by: 'ada' }))).toMatchObject({ redacted: false });
  });

  it('is not removed without what was made of it: a title or a summary goes with its turn', () => {
    const pure = new PureSession({ text: 'secret' });
    pure.claim();
    pure.generated([textPart('done')]);
    const last = <Kind extends EntryKind>(kind: Kind) => pure.last(kind) as EntryOf<Kind>;
    const message = last('user-message');
    pure.command((draft) => draft.append({ kind: 'title-set', title: 'On a secret', by: 'generated', turnId: message.turnId }).seq);
    pure.command((draft) => draft.append({ kind: 'summary-set', text: 'a secret was told', turnId: message.turnId, endSeq: last('turn-ended').seq }).seq);
    const labels = [last('title-set'), last('summary-set')];
    for (const known of [[], labels.slice(0, 1), labels.slice(1)]) expect(pure.command(acceptRedact({ entries: [message, ...known], by: 'ada' }))).toMatchObject({ refused: 'session_busy' });
    expect(pure.command(acceptRedact({ entries: [message, ...labels], by: 'ada' }))).toMatchObject({ redacted: true });
    expect([pure.session.title, pure.session.titleBy, pure.session.summary, JSON.stringify(pure.log).includes('secret')]).toEqual([null, null, null, false]);
  });

  it('is removed whatever else was made of the turn in which a summary stands for it, and so is a title without the summary beside it', () => {
    const pure = new PureSession({ text: 'secret' });
    pure.claim();
    pure.generated([textPart('hi')]);
    pure.send('more');
    pure.claim();
    const compaction = { summary: 'a secret was told', throughSeq: 4, keeps: [], trigger: 'threshold', tokensBefore: 9, tokensAfter: 8, windowTokens: 10 } as const;
    pure.settle({ kind: 'compacted', attempt: pure.attempt(), compaction, redactions: 0 });
    pure.generated([textPart('well')]);
    const { turnId, seq: endSeq } = pure.last('turn-ended') as EntryOf<'turn-ended'>;
    pure.command((draft) => draft.append({ kind: 'title-set', title: 'More', by: 'generated', turnId }).seq);
    pure.command((draft) => draft.append({ kind: 'summary-set', text: 'more was said', turnId, endSeq }).seq);
    const entries = [pure.entries('user-message')[0] as Entry, pure.last('history-compacted') as Entry];
    expect(pure.command(acceptRedact({ entries, by: 'ada' }))).toMatchObject({ redacted: true });
    expect([pure.session.title, pure.session.summary?.text, JSON.stringify(pure.log).includes('secret')]).toEqual(['More', 'more was said', false]);
    expect(pure.command(acceptRedact({ entries: [pure.last('title-set') as Entry], by: 'ada' }))).toMatchObject({ redacted: true });
    expect([pure.session.title, pure.session.summary?.text]).toEqual([null, 'more was said']);
  });

  it('takes what the session says of it along: title, metadata, preview; and refuses what has no content', () => {
    const pure = new PureSession({ title: 'secret', metadata: { secret: true } });
    expect(pure.command(acceptRedact({ entries: [pure.log[0] as Entry], by: 'ada' }))).toMatchObject({ redacted: true });
    expect([pure.session.title, pure.session.metadata]).toEqual([null, {}]);
    pure.command(acceptSettings({ title: 'another' }));
    pure.command(acceptRedact({ entries: [pure.log[0] as Entry], by: 'ada' }));
    expect(pure.session.title).toBe('another');
    expect(pure.command(acceptRedact({ entries: [pure.last('entry-redacted') as Entry], by: 'ada' }))).toMatchObject({ refused: 'invalid_request' });
  });
});
