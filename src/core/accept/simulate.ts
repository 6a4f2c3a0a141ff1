import type { AttemptRecord, ErrorInfo } from '../entry.ts';
import { isRefusal, refuse, type Refusal } from '../errors.ts';
import type { Session } from '../session.ts';
import { simulatedActorType, simulatedMessageId, type Simulator } from '../simulation-entry.ts';
import { acceptSend, type SendReply } from './send.ts';
import type { Accept } from './transition.ts';

export interface SimulatedMessage {
  /** Of the simulator that it was generated for, and the message's number. */
  readonly simulatorId: string;
  readonly number: number;
  readonly attempt: AttemptRecord;
  readonly text: string;
}

/**
 * A simulated user's message, with the generation that said it, in one commit: so each of its messages is sent once, whoever is killed in between. Refused with `simulator_off`, with `revision_conflict` when another one
 * has sent the message of this number or ended the conversation, and as a message is that does not wait for a running turn.
 */
export function acceptSimulated({ simulatorId, number, attempt, text }: SimulatedMessage): Accept<SendReply> {
  return (draft, circumstances, loaded) => {
    const simulator = liveSimulator(draft.session, simulatorId);
    if (isRefusal(simulator)) return simulator;
    if (simulator.turns + 1 !== number || simulator.ended) return refuse('revision_conflict', `the simulated user is at message ${simulator.turns + 1}, not ${number}`, { expected: number, actual: simulator.turns + 1 });
    const messageId = simulatedMessageId(simulator, number);
    const sent = acceptSend({
      whenBusy: 'reject',
      message: { messageId, parts: [{ type: 'text', text }], actor: { type: simulatedActorType, id: simulator.id }, metadata: { simulated: { number, maxTurns: simulator.maxTurns } } },
    })(draft, circumstances, loaded);
    if (!isRefusal(sent)) draft.append({ kind: 'user-simulated', number, attempt, messageId });
    return sent;
  };
}

export interface SimulatedOutcome {
  readonly number: number;
  readonly attempt: AttemptRecord;
  readonly actionId?: string;
  readonly ended?: { readonly reason: string };
  readonly error?: ErrorInfo;
}

/** Records a generation of the simulated user that sent no message: it answered, it ended the conversation, or it failed (G14). */
export function acceptSimulatedOutcome(simulatorId: string, { ended, ...outcome }: SimulatedOutcome): Accept<{ readonly revision: number }> {
  return (draft) => {
    // Of one that is another's by now, only the generation counts.
    const isOwn = draft.session.simulator?.id === simulatorId;
    draft.append({ kind: 'user-simulated', ...outcome, ...(ended && isOwn ? { ended } : {}) });
    return { revision: draft.session.revision };
  };
}

function liveSimulator({ simulator }: Session, simulatorId: string): Simulator | Refusal {
  if (simulator === null || !simulator.enabled) return refuse('simulator_off', 'the session has no simulated user that is enabled');
  return simulator.id === simulatorId ? simulator : refuse('revision_conflict', 'the session has another simulated user by now');
}
