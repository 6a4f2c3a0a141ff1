import { describe, expect, it } from 'vitest';
import { entryFormats, isTimeline, readEntry, type EntryFormat } from '../../src/core/entry-format.ts';
import type { Entry, EntryKind } from '../../src/core/entry.ts';
import { project } from '../../src/core/project.ts';
import { PureSession } from '../support/pure-session.ts';

/** A kind that has been changed twice since its first version. */
const formats: Readonly<Record<string, EntryFormat>> = {
  note: {
    version: 2, place: 'ledger', movesRevision: false,
    upcast: {
      0: ({ body, ...rest }) => ({ ...rest, text: body }),
      1: ({ text, ...rest }) => ({ ...rest, parts: [{ type: 'text', text }] }),
    },
    defaults: { language: 'en' },
  },
};

const head = { seq: 4, atMs: 100 };

describe('a stored entry', () => {
  it('of the present version is read as it is', () => {
    const stored = { ...head, kind: 'title-set', v: 1, title: 'x', by: 'person' };
    expect(readEntry(stored)).toBe(stored);
  });

  it('of an older version is brought up version by version, its missing fields filled', () => {
    expect(readEntry({ ...head, kind: 'note', v: 0, body: 'hi' }, formats)).toEqual({ ...head, kind: 'note', v: 2, parts: [{ type: 'text', text: 'hi' }], language: 'en' });
    expect(readEntry({ ...head, kind: 'note', v: 1, text: 'hi' }, formats)).toEqual({ ...head, kind: 'note', v: 2, parts: [{ type: 'text', text: 'hi' }], language: 'en' });
    expect(readEntry({ ...head, kind: 'note', v: 2, parts: [] }, formats)).toEqual({ ...head, kind: 'note', v: 2, parts: [], language: 'en' });
  });

  it('keeps the fields it was written with before a default', () => {
    expect(readEntry({ ...head, kind: 'note', v: 2, parts: [], language: 'la' }, formats)).toMatchObject({ language: 'la' });
  });

  it('keeps fields that nobody knows, of any version', () => {
    expect(readEntry({ ...head, kind: 'note', v: 0, body: 'hi', mood: { calm: true } }, formats)).toMatchObject({ mood: { calm: true } });
    expect(readEntry({ ...head, kind: 'title-set', v: 1, title: 'x', by: 'person', mood: 1 })).toMatchObject({ mood: 1 });
  });

  it('without a version is of the first', () => {
    expect(readEntry({ ...head, kind: 'note', text: 'hi' }, formats)).toMatchObject({ v: 2, parts: [{ text: 'hi' }] });
  });

  it('of a newer version, or of a kind that nobody knows, is kept as it is', () => {
    const newer = { ...head, kind: 'title-set', v: 9, heading: 'x' };
    const unknown = { ...head, kind: 'kind-of-tomorrow', v: 1, some: ['thing'] };
    expect([readEntry(newer), readEntry(unknown)]).toEqual([newer, unknown]);
    expect(isTimeline(unknown as unknown as Entry)).toBe(false);
  });

  it('that cannot be brought up is an error that says so', () => {
    const broken = { note: { version: 3, place: 'ledger', movesRevision: false } } as const;
    expect(() => readEntry({ ...head, kind: 'note', v: 1 }, broken)).toThrow(expect.objectContaining({ code: 'entry_unreadable' }));
  });

  it('is not changed by being read', () => {
    const stored = Object.freeze({ ...head, kind: 'note', v: 0, body: 'hi' });
    readEntry(stored, formats);
    expect(stored).toEqual({ ...head, kind: 'note', v: 0, body: 'hi' });
  });
});

describe('the kinds', () => {
  it('of the timeline are the messages, steps, results, results of operations, ends of turns, what the model was told beside them, summaries the conversation\'s state and its nodes, and nothing else is', () => {
    const kinds = Object.keys(entryFormats) as EntryKind[];
    expect(kinds.filter((kind) => isTimeline({ kind })).toSorted((left, right) => left.localeCompare(right))).toEqual(['assistant-step', 'context-injected', 'history-compacted', 'node-entered', 'operation-result', 'state-changed', 'tool-results', 'turn-ended', 'turn-started', 'user-message']);
  });

  it('that move the revision are those a decision depends on', () => {
    const still = Object.entries(entryFormats).filter(([, { movesRevision }]) => !movesRevision).map(([kind]) => kind);
    expect(new Set(still)).toEqual(new Set(['attempt-failed', 'attempt-lost', 'attempt-stopped', 'title-set', 'metadata-set', 'archived-set', 'operation-started', 'operation-ended', 'late-result', 'late-usage', 'budget-exhausted', 'entry-redacted', 'context-injected', 'labels-wanted', 'summary-set', 'label-failed', 'simulator-set', 'user-simulated']));
    for (const [kind, { place, movesRevision }] of Object.entries(entryFormats)) if (place === 'timeline') expect([kind, movesRevision]).toEqual([kind, kind !== 'context-injected']);
  });

  it('of a newer version change nothing of a session but its end of the log', () => {
    const { session } = new PureSession({ text: 'hello' });
    const next = project(session, { kind: 'kind-of-tomorrow', seq: 3, v: 1, atMs: 2_000 } as unknown as Entry);
    expect(next).toEqual({ ...session, lastSeq: 3, updatedAtMs: 2_000 });
  });
});
