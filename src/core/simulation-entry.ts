import type { AttemptRecord, ErrorInfo } from './attempt.ts';

/** Who a simulated user is, and how long it goes on. */
export interface SimulatorSettings {
  /** Nothing is said for the user unless this is true. */
  readonly enabled: boolean;
  /** Who speaks, and what they want. */
  readonly persona: string;
  /** Messages that it sends in all. */
  readonly maxTurns: number;
}

/** A session's simulated user was declared, changed, or taken away. Another persona is another one, that begins anew. */
export interface SimulatorSet {
  readonly kind: 'simulator-set';
  readonly simulator: SimulatorSettings | null;
}

/** A generation of the simulated user, and what came of it: a message, an answer, the end, or a failure. */
export interface UserSimulated {
  readonly kind: 'user-simulated';
  /** Of the message that it was for, from 1. */
  readonly number: number;
  readonly attempt: AttemptRecord;
  /** It sent this message, in the same commit. */
  readonly messageId?: string;
  /** It answered this action. */
  readonly actionId?: string;
  /** It said that the conversation is over, and why. */
  readonly ended?: { readonly reason: string };
  readonly error?: ErrorInfo;
}

/** A simulated user as its session knows it. */
export interface Simulator extends SimulatorSettings {
  /** Names it, so that its messages have their ids before they are sent. */
  readonly id: string;
  /** Messages that it has sent. */
  readonly turns: number;
  /** It has said that the conversation is over. */
  readonly ended: boolean;
}

/** The id of the message of this number. */
export function simulatedMessageId({ id }: Pick<Simulator, 'id'>, number: number): string {
  return `${id}_${number}`;
}

/** The type of actor that its messages have; the id is the simulator's. */
export const simulatedActorType = 'simulated-user';
