import type { MessagePart } from '../../core/entry.ts';
import { canonicalJson } from '../../core/json.ts';
import type { ConversationEvidence, Finding, SentSteer } from './evidence.ts';
import type { Joined, LogTurn } from './log-turns.ts';
import { isRecordedTurn } from './recording-place.ts';

/**
 * Each steered message is in the history once: in the turn that ran, before a generation; if that one ended first, in a turn that came beside the recorded ones, which it opened
 * or joined. One without which the turn could not go on is right behind the step that it was sent in.
 */
export function checkSteers({ recording, sent, steers }: Pick<ConversationEvidence, 'recording' | 'sent' | 'steers'>, turns: readonly LogTurn[]): readonly Finding[] {
  return recording.turns.flatMap((recorded, turn) => recorded.steps.flatMap(({ steered }, step): readonly Finding[] => {
    const steer = steers.find((each) => each.turn === turn && each.step === step);
    if (steered === undefined) return [];
    const where = `turn ${turn}, step ${step}`;
    if (steer === undefined) return [{ count: 'mismatches', where, problem: 'the message was not steered', recorded: steered }];
    const turnId = sent.find((each) => each.turn === turn)?.turnId;
    const places = turns.flatMap((each) => placesIn(each, steer.messageId, turnId !== each.turnId && isRecordedTurn(recording, each)));
    return steerFindings(where, steered, steer, places, turnId);
  }));
}

function steerFindings(where: string, text: string, steer: SentSteer, places: readonly SteerPlace[], turnId: string | undefined): readonly Finding[] {
  const [place] = places;
  if (place === undefined || places.length > 1) return [{ count: place === undefined ? 'lost' : 'duplicated', where, problem: `the steered message is in the history ${places.length} times`, recorded: text, found: JSON.stringify(places) }];
  const findings: Finding[] = [];
  if (canonicalJson(place.parts as never) !== canonicalJson([{ type: 'text', text }])) findings.push({ count: 'mismatches', where, problem: 'the steered message differs', recorded: text, found: JSON.stringify(place.parts) });
  const isBehind = place.turnId === turnId && (steer.held ? place.beforeStep === steer.step + 1 : place.beforeStep > steer.step);
  const isBeside = place.turnId !== turnId && !place.isForeign && !steer.held;
  if (!isBehind && !isBeside) findings.push({ count: 'mismatches', where, problem: 'the steered message came to another place', recorded: JSON.stringify({ turnId, ...steer }), found: JSON.stringify(place) });
  return findings;
}

interface SteerPlace {
  readonly turnId: string;
  /** The turn is another recorded one. */
  readonly isForeign: boolean;
  readonly beforeStep: number;
  readonly parts: readonly MessagePart[];
}

function placesIn({ turnId, user, messageId, steps, joinedLast }: LogTurn, steered: string, isForeign: boolean): readonly SteerPlace[] {
  const joined = (list: readonly Joined[], beforeStep: number): SteerPlace[] =>
    list.flatMap((entry) => (entry.kind === 'user-message' && entry.messageId === steered ? [{ turnId, isForeign, beforeStep, parts: entry.parts }] : []));
  return [
    ...(messageId === steered ? [{ turnId, isForeign, beforeStep: 0, parts: user ?? [] }] : []),
    ...steps.flatMap((step, index) => joined(step.joined, index)), ...joined(joinedLast, steps.length),
  ];
}
