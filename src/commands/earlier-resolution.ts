import { callOfAction, type ActionResolution } from '../core/action.ts';
import type { Entry } from '../core/entry.ts';
import type { Session } from '../core/session.ts';
import type { Store } from '../store/store.ts';

const pageEntries = 200;
/** What may lie between a step and its results: queue changes, titles, operations. Beyond, an action counts as unknown. */
const pagesMax = 50;

export interface EarlierResolution {
  readonly resolution: ActionResolution;
  readonly fingerprint?: string;
  readonly roles?: readonly string[];
}

/** How an action that waits no more was resolved, from the log; null: there never was one. Reads the stretch from its step to the step's results. */
export async function earlierResolution(store: Pick<Store, 'readEntries'>, session: Session, actionId: string): Promise<EarlierResolution | null> {
  const call = callOfAction(actionId);
  if (call === null || call.stepSeq < 1 || call.stepSeq > session.lastSeq) return null;
  // Those of the present step are all in the session's row.
  const step = session.turn?.lastStep;
  if (step?.seq === call.stepSeq && step.openCalls.length > 0) return null;
  let roles: readonly string[] | undefined;
  let afterSeq = call.stepSeq - 1;
  for (let page = 0; page < pagesMax; page += 1) {
    const entries = await store.readEntries(session, { afterSeq, limit: pageEntries });
    for (const entry of entries) {
      if (entry.kind === 'action-opened' && entry.actionId === actionId) ({ roles } = entry);
      if (entry.kind === 'action-resolved' && entry.actionId === actionId) {
        const { resolution, fingerprint } = entry;
        return { resolution, ...(fingerprint === undefined ? {} : { fingerprint }), ...(roles === undefined ? {} : { roles }) };
      }
      if (entry.seq === call.stepSeq ? entry.kind !== 'assistant-step' : endsStep(entry)) return null;
    }
    const last = entries.at(-1);
    if (last === undefined || entries.length < pageEntries) return null;
    afterSeq = last.seq;
  }
  return null;
}

/** From here on none of the step's actions can be resolved. */
function endsStep({ kind }: Entry): boolean {
  return kind === 'tool-results' || kind === 'turn-ended';
}
