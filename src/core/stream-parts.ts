import type { AssistantStep, PartialCallPart, ReasoningPart, StepPart, TextPart } from './entry.ts';

/**
 * The streamed view of a generation: text that grows part by part. Offsets are in UTF-16 units of a part's text, and a
 * part's place is its place in the step that will hold it.
 */
export interface StreamSegment {
  /** Place of the part among the attempt's streamed parts, from 0. */
  readonly part: number;
  readonly type: 'text' | 'reasoning' | 'tool-input';
  readonly offset: number;
  readonly text: string;
  /** With `tool-input`, in the part's first segment. */
  readonly toolName?: string;
  readonly toolCallId?: string;
}

/** A part as far as it was streamed. */
export interface StreamedPart {
  readonly type: StreamSegment['type'];
  readonly text: string;
  readonly toolName?: string;
  readonly toolCallId?: string;
}

/** How far each part was seen, by place. */
export type StreamOffsets = readonly number[];

/** The parts after one more segment. What was seen already is passed over, so folding a segment twice changes nothing; a gap is an error of the sender. */
export function foldSegment(parts: readonly StreamedPart[], segment: StreamSegment): readonly StreamedPart[] {
  const known = parts[segment.part] ?? emptyPart(segment);
  const overlap = known.text.length - segment.offset;
  if (overlap < 0) throw new RangeError(`segment of part ${segment.part} begins at ${segment.offset}, but only ${known.text.length} units came before`);
  const grown = parts.slice();
  while (grown.length < segment.part) grown.push({ type: 'text', text: '' });
  grown[segment.part] = overlap >= segment.text.length && parts[segment.part] !== undefined ? known : { ...emptyPart(segment), ...known, text: known.text + segment.text.slice(overlap) };
  return grown;
}

function emptyPart({ type, toolName, toolCallId }: StreamSegment): StreamedPart {
  return { type, text: '', ...(toolName === undefined ? {} : { toolName }), ...(toolCallId === undefined ? {} : { toolCallId }) };
}

export function foldSegments(segments: readonly StreamSegment[]): readonly StreamedPart[] {
  return segments.reduce(foldSegment, [] as readonly StreamedPart[]);
}

export function offsetsOf(parts: readonly StreamedPart[]): StreamOffsets {
  return parts.map((part) => part.text.length);
}

/** What of the segments lies beyond the offsets. */
export function segmentsAfter(segments: readonly StreamSegment[], offsets: StreamOffsets): readonly StreamSegment[] {
  return segments.flatMap((segment) => {
    const seen = offsets[segment.part];
    if (seen === undefined || seen <= segment.offset) return [segment];
    const skipped = seen - segment.offset;
    return skipped >= segment.text.length ? [] : [{ ...segment, offset: seen, text: segment.text.slice(skipped) }];
  });
}

/** The streamed parts of a committed step: each text-bearing part's text as it was streamed, in the order of its places. */
export function streamedPartsOf(step: Pick<AssistantStep, 'parts'>): readonly StreamedPart[] {
  return step.parts.flatMap((part): StreamedPart[] => {
    switch (part.type) {
      case 'text':
      case 'reasoning':
        return [{ type: part.type, text: part.text }];
      case 'tool-call':
        return [{ type: 'tool-input', text: part.inputText ?? JSON.stringify(part.input), toolName: part.toolName, toolCallId: part.toolCallId }];
      case 'partial-call':
        return [{ type: 'tool-input', text: part.inputText, toolName: part.toolName }];
      default:
        return [];
    }
  });
}

/** What a follower that has seen `offsets` of a step's attempt has still to be sent: the rest of the text as committed (G5). */
export function remainderOf(step: Pick<AssistantStep, 'parts'>, offsets: StreamOffsets): readonly StreamSegment[] {
  const whole = streamedPartsOf(step).map((part, place): StreamSegment => ({ ...part, part: place, offset: 0 }));
  return segmentsAfter(whole, offsets).filter((segment) => segment.text !== '' || offsets[segment.part] === undefined);
}

/** What was shown of an attempt, as the parts of a stopped step. A call whose input was still streaming stays visible and is no call. */
export function stoppedParts(parts: readonly StreamedPart[]): readonly StepPart[] {
  return parts.flatMap((part): (TextPart | ReasoningPart | PartialCallPart)[] => {
    if (part.type === 'tool-input') return [{ type: 'partial-call', toolName: part.toolName ?? '', inputText: part.text }];
    return [{ type: part.type, text: part.text }];
  });
}
