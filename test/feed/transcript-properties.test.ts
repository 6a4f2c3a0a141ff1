import { safeValidateUIMessages } from 'ai';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Entry, StepPart } from '../../src/core/entry.ts';
import { cancelOperation } from '../../src/core/operation-transitions.ts';
import { openActions } from '../../src/core/session.ts';
import { foldTranscript, type TranscriptMessage, type TranscriptToolPart } from '../../src/core/transcript.ts';
import { readTranscript } from '../../src/feed/transcript-page.ts';
import { callPart, PureSession, textPart } from '../support/pure-session.ts';
import { pureStore } from '../support/pure-store.ts';
import { happen, happeningsOf, newborn, type Happening } from '../support/random-history.ts';
import { seedOf } from '../support/seed.ts';

const runs = { seed: seedOf('transcript properties'), numRuns: 150 };
const histories = fc.tuple(fc.nat(11), happeningsOf(120, 40));

function after([kind, history]: readonly [number, readonly Happening[]]): PureSession {
  const pure = newborn(kind);
  for (const happening of history) happen(pure, happening);
  return pure;
}

function wholeOf({ log, session }: PureSession): readonly TranscriptMessage[] {
  return foldTranscript(log, session.visible);
}

function toolParts(messages: readonly TranscriptMessage[]): readonly TranscriptToolPart[] {
  return messages.flatMap(({ parts }) => parts.filter((part): part is TranscriptToolPart => part.type.startsWith('tool-')));
}

async function allPages(pure: PureSession, limit: number): Promise<readonly (readonly TranscriptMessage[])[]> {
  const pages: (readonly TranscriptMessage[])[] = [];
  for (let before: number | undefined; ;) {
    const { items, nextCursor } = await readTranscript(pureStore(pure), pure.session, { before, limit });
    pages.unshift(items);
    if (nextCursor === null) return pages;
    before = nextCursor;
  }
}

describe('whatever happened to a session, its transcript', () => {
  it('is what an AI SDK client takes, each message under an id of its own', async () => {
    await fc.assert(fc.asyncProperty(histories, async (history) => {
      const messages = wholeOf(after(history));
      expect(new Set(messages.map(({ id }) => id)).size).toBe(messages.length);
      const checked = messages.length === 0 ? { success: true as const } : await safeValidateUIMessages({ messages });
      expect(checked.success ? null : String(checked.error)).toBeNull();
    }), runs);
  });

  it('keeps each message under its id while the log grows', () => {
    fc.assert(fc.property(histories, ([kind, history]) => {
      const pure = newborn(kind);
      const idOf = new Map<number, string>();
      for (const happening of history) {
        happen(pure, happening);
        for (const { id, metadata: { seq } } of wholeOf(pure)) {
          expect(idOf.get(seq) ?? id).toBe(id);
          idOf.set(seq, id);
        }
      }
    }), { ...runs, numRuns: 60 });
  });

  it('shows exactly the open actions as waiting, and an outcome for every call of a turn that has ended', () => {
    fc.assert(fc.property(histories, ([kind, history]) => {
      const pure = newborn(kind);
      for (const happening of history) {
        happen(pure, happening);
        const messages = wholeOf(pure);
        const waiting = toolParts(messages).flatMap(({ action }) => (action === undefined ? [] : [action.id]));
        expect(waiting.toSorted()).toEqual(openActions(pure.session.turn).map(({ id }) => id).toSorted());
        for (const { metadata, parts } of messages) {
          if (metadata.end === undefined) continue;
          for (const part of toolParts([{ id: '', role: 'assistant', metadata, parts }])) expect(part.outcome !== undefined || part.providerExecuted === true || part.state === 'input-streaming', part.callId).toBe(true);
        }
      }
    }), { ...runs, numRuns: 60 });
  });

  it('is the same in pages of any size as whole', async () => {
    await fc.assert(fc.asyncProperty(histories, fc.integer({ min: 1, max: 5 }), async (history, limit) => {
      const pure = after(history);
      const pages = await allPages(pure, limit);
      expect(pages.flat()).toEqual(wholeOf(pure));
      for (const page of pages.slice(1)) expect(page).toHaveLength(limit);
    }), runs);
  });

  it('shows of a call on a page that ends anywhere what it shows of it as a whole', async () => {
    await fc.assert(fc.asyncProperty(histories, fc.nat(), async (history, place) => {
      const pure = after(history);
      const whole = new Map(toolParts(wholeOf(pure)).map((part) => [part.callId, part]));
      const { items } = await readTranscript(pureStore(pure), pure.session, { before: 1 + (place % pure.log.length), limit: 3 });
      for (const part of toolParts(items)) if (part.callId !== undefined) expect(part).toEqual(whole.get(part.callId));
    }), runs);
  });
});

describe('a page of the transcript', () => {
  /** A page's cost with so many turns after it, or before. */
  function session(turns: number, first: readonly StepPart[] = [textPart('hi')]): PureSession {
    const pure = new PureSession({ text: 'first' });
    for (let turn = 0; turn < turns; turn += 1) {
      if (turn > 0) pure.send(`turn ${turn}`);
      pure.claim();
      pure.generated(turn === 0 ? first : [textPart('hi')]);
      if (turn === 0 && pure.session.turn !== null) pure.stop();
    }
    return pure;
  }

  async function costOfFirstPage(pure: PureSession): Promise<{ readonly entries: number; readonly operations: number }> {
    const store = pureStore(pure);
    const { items } = await readTranscript(store, pure.session, { before: pure.entries('turn-ended')[0]?.seq ?? 0, limit: 2 });
    expect(items).toHaveLength(2);
    return store.read;
  }

  it('reads nothing after itself, whatever comes there, unless one of its calls may still hear of something', async () => {
    const [few, many] = [await costOfFirstPage(session(3)), await costOfFirstPage(session(300))];
    expect(many).toEqual(few);
    const stopped = await costOfFirstPage(session(300, [callPart(0, 'pay')]));
    expect(stopped.entries).toBeGreaterThan(900);
  });

  it('reads one row for an operation that had not ended on it, however far away it ends', async () => {
    const pure = session(1, [callPart(0, 'look', { operation: { mode: 'detach' } })]);
    const [id = ''] = [...pure.operations.keys()];
    const [few, many] = await Promise.all([3, 300].map(async (turns) => {
      for (let turn = 0; turn < turns; turn += 1) {
        pure.send('more');
        pure.claim();
        pure.generated([textPart('hi')]);
      }
      pure.changeOperation(id, cancelOperation(pure.circumstances));
      const store = pureStore(pure);
      const { items } = await readTranscript(store, pure.session, { before: pure.entries('user-message')[1]?.seq ?? 0, limit: 2 });
      expect(toolParts(items)).toMatchObject([{ operation: { id, status: 'cancelled' } }]);
      return store.read;
    }));
    expect(few).toEqual({ entries: few?.entries, operations: 1 });
    expect(many).toEqual(few);
  });

  it('reads no further back than it has to where no user message opened the turns', async () => {
    const log = Array.from({ length: 500 }, (_, turn): Entry[] => {
      const head = { v: 1, atMs: 1 } as const;
      const turnId = `turn_${turn}`;
      return [
        { ...head, seq: turn * 3 + 1, kind: 'turn-started', turnId, origin: 'operation' },
        { ...head, seq: turn * 3 + 2, kind: 'assistant-step', turnId, attempt: { id: `att_${turn}`, number: 1, startedAtMs: 1, usage: null }, parts: [textPart('done')], finishReason: 'stop' },
        { ...head, seq: turn * 3 + 3, kind: 'turn-ended', turnId, reason: 'complete' },
      ];
    }).flat();
    const store = pureStore({ log, operations: new Map() });
    const { items } = await readTranscript(store, { ...new PureSession().session, lastSeq: log.length }, { limit: 5 });
    expect(items.map(({ id }) => id)).toEqual(['turn_495', 'turn_496', 'turn_497', 'turn_498', 'turn_499']);
    expect(store.read.entries).toBeLessThan(60);
  });
});
