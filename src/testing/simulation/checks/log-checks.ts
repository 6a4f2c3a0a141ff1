import { entryFormats } from '../../../core/entry-format.ts';
import type { Entry } from '../../../core/entry.ts';
import type { JsonValue } from '../../../core/json.ts';
import { project } from '../../../core/project.ts';
import { emptySession, type Session } from '../../../core/session.ts';
import { logDerived } from '../../../examine/examine-session.ts';
import type { Check, MakeCheck } from '../check.ts';
import { isSameJson } from './same-json.ts';

const reads = 1_000_000;

/** G10: a log has each seq once and grows at its end only; what stands in it stays as it is, but for what was redacted. */
export const logIsAppendOnly: MakeCheck = (violated) => ({
  committed({ ref, before, session, added, log }) {
    if (session === null) return;
    const firstSeq = log.length - added.length + 1;
    const wrong = added.find(({ seq }, place) => seq !== firstSeq + place);
    if (wrong !== undefined) violated('G10', `${ref.id}: entry ${wrong.seq} (${wrong.kind}) follows on a log of ${firstSeq - 1} entries`);
    if (session.lastSeq !== log.length) violated('G10', `${ref.id}: the row says seq ${session.lastSeq}, and the log has ${log.length} entries`);
    if (before !== null && session.updatedAtMs < before.updatedAtMs) violated('G10', `${ref.id}: its time steps back from ${before.updatedAtMs} to ${session.updatedAtMs}`);
  },
  atRest({ observer, database }) {
    const rows = database.reader();
    for (const session of observer.sessions) {
      const seen = observer.log(session);
      const stored = rows.entries(session, { limit: reads });
      const changed = seen.find((entry, place) => !isKept(entry, stored[place]));
      if (changed !== undefined) violated('G10', `${session.id}: entry ${changed.seq} (${changed.kind}) is ${JSON.stringify(stored[changed.seq - 1])}, it was ${JSON.stringify(changed)}`);
      if (stored.length !== seen.length) violated('G10', `${session.id}: its log has ${stored.length} entries, and had ${seen.length}`);
    }
  },
});

function isKept(seen: Entry, stored: Entry | undefined): boolean {
  if (stored === undefined) return false;
  if (stored.redacted === undefined) return isSameJson(seen, stored);
  return seen.seq === stored.seq && seen.kind === stored.kind && seen.atMs === stored.atMs;
}

/** G3: after each commit the session's row is the fold of its log, in all that the log decides; so each state has its entry, and each entry its state. */
export const rowIsFoldOfLog: MakeCheck = (violated): Check => {
  const folded = new Map<string, Session>();
  return {
    committed({ ref, before, session, added, log }) {
      const known = before === null ? undefined : folded.get(ref.id);
      folded.delete(ref.id);
      // Entries of a newer version are left to those who know them.
      if (session === null || added.some(({ kind }) => entryFormats[kind] === undefined) || (before !== null && known === undefined)) return;
      let fold = known ?? emptySession(session, log[0]?.atMs ?? session.createdAtMs);
      try {
        for (const entry of added) fold = project(fold, entry);
      } catch (error) {
        return violated('G3', `${ref.id}: its log cannot be folded: ${error instanceof Error ? error.message : String(error)}`);
      }
      folded.set(ref.id, fold);
      const [told, row] = [logDerived(fold), logDerived(session)];
      for (const name of Object.keys(row)) {
        if (!isSameJson(told[name], row[name])) violated('G3', `${ref.id}: ${name} is ${JSON.stringify(row[name])} at seq ${session.lastSeq}; folded from the log it is ${JSON.stringify(told[name])}`);
      }
    },
  };
};

/** Of entries that are appended: a revision is the seq of the last that moves it, so that of two decisions on the same one exactly one is taken. */
export const revisionCountsDecisions: MakeCheck = (violated): Check => {
  const taken = new Map<string, { readonly id: string; readonly reply: JsonValue }>();
  /** Of each session, the commits that moved its revision: from which, to which. */
  const moved = new Map<string, { readonly from: number; readonly to: number }[]>();
  return {
    committed({ ref, before, session, added }) {
      if (before === null || session === null) return void moved.delete(ref.id);
      if (session.revision > before.revision) moved.set(ref.id, [...(moved.get(ref.id) ?? []), { from: before.revision, to: session.revision }]);
      if (session.revision < before.revision) violated('G4', `${ref.id}: its revision falls from ${before.revision} to ${session.revision}`);
      const moves = added.some(({ kind }) => entryFormats[kind]?.movesRevision === true);
      if (moves !== session.revision > before.revision) violated('G4', `${ref.id}: ${added.map(({ kind }) => kind).join(', ')} move its revision from ${before.revision} to ${session.revision}`);
    },
    answered({ request, status, body }) {
      const [, id] = /^\/v1\/sessions\/([^/?]+)/.exec(request.path) ?? [];
      const expected = request.headers?.['if-match'];
      if (status >= 300 || expected === undefined || id === undefined || request.path.includes('/state')) return;
      const revision = body !== null && typeof body === 'object' && 'revision' in body ? body.revision : undefined;
      const on = Number(expected.replaceAll('"', ''));
      // What does not move the revision refuses nobody.
      if (typeof revision !== 'number' || revision <= on) return;
      const decision = moved.get(id)?.find(({ from, to }) => from < revision && revision <= to);
      if (decision !== undefined && decision.from !== on) violated('G4', `${request.id} decided on revision ${on} of ${id}, which had moved on to ${decision.from}`);
      const winner = taken.get(`${id} ${on}`);
      // Sent again, with whatever key, it has the reply that it had.
      if (winner !== undefined && winner.id !== request.id && !isSameJson(winner.reply, body)) violated('G4', `${winner.id} and ${request.id} both decided on revision ${on} of ${id}`);
      taken.set(`${id} ${on}`, { id: request.id, reply: body });
    },
  };
};
