import { acceptEdit } from '../../core/accept/edit.ts';
import type { Accept } from '../../core/accept/transition.ts';
import type { Loaded } from '../../core/draft.ts';
import type { Entry } from '../../core/entry.ts';
import { invariant, refuse } from '../../core/errors.ts';
import type { Branch } from '../../core/history.ts';
import { isVisible } from '../../core/intervals.ts';
import type { Session } from '../../core/session.ts';
import type { BranchFilter, SessionRef, UpdateRequest } from '../store.ts';
import { committed, type Kit } from './kit.ts';

/** What moves through the history read. */
export const moving = { chunks: true, outcomes: true, marks: true } as const;

/** A conversation of so many turns, at rest. */
export async function conversation(kit: Kit, turns: number): Promise<{ readonly ref: SessionRef; readonly turnIds: readonly string[] }> {
  const { tenant, id } = await kit.create();
  const ref = { tenant, id };
  const turnIds: string[] = [];
  for (let turn = 1; turn <= turns; turn += 1) {
    turnIds.push((await kit.send(ref, `message ${turn}`)).turnId);
    await kit.answer(ref, `answer ${turn}`);
  }
  return { ref, turnIds };
}

/** Makes a move, which must not be refused. */
export async function move<Reply>(kit: Kit, ref: SessionRef, accept: Accept<Reply>, branchId?: string, store = kit.store): Promise<Session> {
  return committed(await kit.command(ref, accept, { reads: { ...moving, ...(branchId === undefined ? {} : { branchId }) } }, store)).session;
}

/** Another text in place of a turn's. */
export function edited(kit: Kit, turnId: string, text: string): Accept<unknown> {
  return acceptEdit({ turnId, message: { messageId: kit.mint('msg'), parts: [{ type: 'text', text }] }, stop: true });
}

/** A page of the branches, all of them by default. */
export async function branchesOf(kit: Kit, ref: SessionRef, page: Partial<BranchFilter> = {}, store = kit.store): Promise<readonly Branch[]> {
  return (await store.listBranches(ref, { limit: 100, ...page })).items;
}

/** What a transition on the session is given besides it. */
export async function loaded(kit: Kit, ref: SessionRef, reads: UpdateRequest<null>['reads'] = {}, store = kit.store): Promise<Loaded> {
  const seen: Loaded[] = [];
  await store.update({
    key: ref, reads,
    transition: (given) => {
      seen.push(given);
      return refuse('session_busy', 'only looked');
    },
  });
  const [first] = seen;
  invariant(first !== undefined, `session ${ref.id} is found`);
  return first;
}

/** What was said in the visible history. */
export function visibleTexts(entries: readonly Entry[], { visible }: Session): readonly string[] {
  return entries.flatMap((entry) => (entry.kind === 'user-message' && isVisible(visible, entry.seq) ? entry.parts.map((part) => (part.type === 'text' ? part.text : '')) : []));
}

/** What was said in the visible history, as a store has it. */
export async function shown(kit: Kit, ref: SessionRef, store = kit.store): Promise<readonly string[]> {
  const { entries, session } = await kit.tail(ref, store);
  return visibleTexts(entries, session);
}
