import type { MakeCheck } from '../check.ts';
import { approvalsAreConsumedOnce } from './approval-checks.ts';
import { attemptsAreCounted } from './attempt-checks.ts';
import { limitsHold, rowStaysSmall } from './bound-checks.ts';
import { callsAnswered, callsRunOnce } from './call-checks.ts';
import { acknowledgedIsKept } from './effect-checks.ts';
import { fenceRises, oneHolder, workIsHeld } from './fence-checks.ts';
import { followersKnowAll, onlyOwnersFollow } from './follower-checks.ts';
import { onlyStoredIsHeard } from './heard-checks.ts';
import { nothingIsLeftOut } from './history-checks.ts';
import { hooksAreTold, hooksHaveTheirEvent } from './hook-checks.ts';
import { keyHasOneReply, onceInLog } from './key-checks.ts';
import { endedIsOver, neverStuck, queueGoesOn } from './life-checks.ts';
import { endedLeaseStaysSo } from './lease-checks.ts';
import { logIsAppendOnly, revisionCountsDecisions, rowIsFoldOfLog } from './log-checks.ts';
import { promptsAreAnswered } from './prompt-checks.ts';
import { nobodyIsEvicted } from './queue-checks.ts';
import { redactedIsGone } from './redaction-checks.ts';
import { othersSeeNothing, refusalsAreProblems } from './reply-checks.ts';
import { doctorFindsNothing, nothingIsLeft } from './rest-checks.ts';
import { writesComeWithResults } from './state-checks.ts';

/** Every guarantee that a simulation is held against, by name. docs/guide/proof-invariants.md says which is whose. */
export const checksByName = {
  acknowledgedIsKept, keyHasOneReply, onceInLog, rowIsFoldOfLog, queueGoesOn, hooksAreTold, hooksHaveTheirEvent, fenceRises, oneHolder, workIsHeld, revisionCountsDecisions, onlyStoredIsHeard,
  callsRunOnce, callsAnswered, approvalsAreConsumedOnce, neverStuck, promptsAreAnswered, endedIsOver, followersKnowAll, onlyOwnersFollow, logIsAppendOnly, nothingIsLeftOut, rowStaysSmall, othersSeeNothing, attemptsAreCounted, limitsHold,
  refusalsAreProblems, doctorFindsNothing, nothingIsLeft, endedLeaseStaysSo, nobodyIsEvicted, redactedIsGone, writesComeWithResults,
} satisfies Readonly<Record<string, MakeCheck>>;

export const allChecks: readonly MakeCheck[] = Object.values(checksByName);
