import type { AgentTool, ToolOptions } from '../../agent/tool.ts';
import { HoldfastError } from '../../core/errors.ts';
import { wellFormedJson, wellFormedText, type JsonValue } from '../../core/json.ts';
import type { WorkPlace } from './execution-journal.ts';
import { operationMsOf, passTime, toolMsOf } from './pace.ts';
import type { RecordingModelOptions } from './recording-model.ts';
import { placeOf } from './recording-place.ts';
import type { RecordedCall } from './recording.ts';
import { toolKind, toolOfKind } from './tool-kind.ts';

export interface RecordingToolsOptions extends RecordingModelOptions {
  /** Of the times that calls take. */
  readonly seed: number;
  readonly toolNames: readonly string[];
}

/**
 * Tools that return what was recorded, each real run of them written to the journal before it does anything. They take any input. Those that clients and persons answer have
 * nothing to run.
 */
export function recordingTools(options: RecordingToolsOptions): Readonly<Record<string, AgentTool>> {
  return Object.fromEntries(options.toolNames.map((name) => [name, toolOfKind(name, (input, callOptions) => execute(options, name, input, callOptions))]));
}

async function execute({ recordings, journal, pace, seed }: RecordingToolsOptions, name: string, input: unknown, options: ToolOptions): Promise<JsonValue> {
  const { callKey, session, messages, abortSignal, progress } = options;
  const recording = recordings[Number(session.metadata['conversation'])];
  if (recording === undefined) throw new HoldfastError('recording_missing', 'the session is of no recorded conversation');
  const place = callPlace(placeOf(recording, messages), messages.at(-1)?.role);
  const end = journal.begin('tool', place, { callKey });
  try {
    const index = Number(callKey.slice(callKey.lastIndexOf('/') + 1));
    const call = recording.turns[place.turn]?.steps[place.step]?.calls[index];
    if (call === undefined || call.name !== name || JSON.stringify(givenInputOf(call)) !== JSON.stringify(input)) {
      throw new HoldfastError('recording_missing', `no call of ${name} with this input was recorded as number ${index} of turn ${place.turn}, step ${place.step}`);
    }
    const callName = `${place.conversation}/${place.turn}/${place.step}/${index}`;
    if (toolKind(name).background === null) await passTime(toolMsOf(pace, seed, callName), abortSignal);
    else await work(operationMsOf(pace, seed, callName), progress, abortSignal);
    return call.result;
  } finally {
    end();
  }
}

/** An operation says how far it is. */
async function work(ms: number, progress: ToolOptions['progress'], abortSignal: AbortSignal): Promise<void> {
  for (let done = 0; done < progressReports; done += 1) {
    progress(done / progressReports, `${done} of ${progressReports}`);
    await passTime(ms / progressReports, abortSignal);
  }
}

const progressReports = 4;

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

/** The input that the call runs with: the one that its approver gave it, else its own. */
function givenInputOf(call: RecordedCall): JsonValue {
  return call.answer?.type === 'approve' && call.answer.input !== undefined ? call.answer.input : inputOf(call);
}
