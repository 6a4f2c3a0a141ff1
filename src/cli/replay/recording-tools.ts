import { jsonSchema } from '@ai-sdk/provider-utils';
import { tool, type AgentTool, type ToolOptions, type ToolPolicy } from '../../agent/tool.ts';
import { HoldfastError } from '../../core/errors.ts';
import { wellFormedJson, wellFormedText, type JsonValue } from '../../core/json.ts';
import type { WorkPlace } from './execution-journal.ts';
import { passTime, toolMsOf } from './pace.ts';
import { placeOf, type RecordingModelOptions } from './recording-model.ts';
import type { RecordedCall } from './recording.ts';

export interface RecordingToolsOptions extends RecordingModelOptions {
  /** Of the times that calls take. */
  readonly seed: number;
  readonly toolNames: readonly string[];
}

type Recovery = NonNullable<ToolPolicy['recovery']>;

/**
 * The recovery of a recorded tool. Those of the recorded airline that book, cancel, change and give something away may not be run twice; generated tools say
 * it in their names; every other is taken to be safe to run again.
 */
export function recoveryOf(toolName: string): Recovery {
  if (/^(book_reservation|cancel_reservation|update_.*|send_certificate|report_.*)$/.test(toolName)) return 'report';
  return toolName.startsWith('keyed_') ? 'rerun-keyed' : 'rerun';
}

/** Tools that return what was recorded, each real run of them written to the journal before it does anything. They take any input. */
export function recordingTools(options: RecordingToolsOptions): Readonly<Record<string, AgentTool>> {
  return Object.fromEntries(options.toolNames.map((name) => [name, tool({
    inputSchema: jsonSchema<unknown>({}),
    recovery: recoveryOf(name),
    execute: (input, callOptions) => execute(options, name, input, callOptions),
  })]));
}

async function execute({ recordings, journal, pace, seed }: RecordingToolsOptions, name: string, input: unknown, options: ToolOptions): Promise<JsonValue> {
  const { callKey, session, messages, abortSignal } = options;
  const recording = recordings[Number(session.metadata['conversation'])];
  if (recording === undefined) throw new HoldfastError('recording_missing', 'the session is of no recorded conversation');
  const place = callPlace(placeOf(recording, messages), messages.at(-1)?.role);
  const end = journal.begin('tool', place, callKey);
  try {
    const index = Number(callKey.slice(callKey.lastIndexOf('/') + 1));
    const call = recording.turns[place.turn]?.steps[place.step]?.calls[index];
    if (call === undefined || call.name !== name || JSON.stringify(inputOf(call)) !== JSON.stringify(input)) {
      throw new HoldfastError('recording_missing', `no call of ${name} with this input was recorded as number ${index} of turn ${place.turn}, step ${place.step}`);
    }
    await passTime(toolMsOf(pace, seed, `${place.conversation}/${place.turn}/${place.step}/${index}`), abortSignal);
    return call.result;
  } finally {
    end();
  }
}

/** The step that made the call: the prompt may end before that step's message, or with it. */
function callPlace(place: WorkPlace, lastRole: string | undefined): WorkPlace {
  return lastRole === 'assistant' ? { ...place, step: place.step - 1 } : place;
}

/** A call's input as a tool is given it: parsed, an empty one `{}`, what is no JSON as its text. */
export function inputOf({ argumentsText }: Pick<RecordedCall, 'argumentsText'>): JsonValue {
  if (argumentsText.trim() === '') return {};
  try {
    // There and back, as every store keeps it: numbers beyond JSON's become null.
    return wellFormedJson(JSON.parse(JSON.stringify(JSON.parse(argumentsText))) as JsonValue);
  } catch {
    return wellFormedText(argumentsText);
  }
}
