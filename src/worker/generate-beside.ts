import type { BesideCall, BesideOutcome, GenerationBeside } from '../agent/generation-beside.ts';
import type { JsonValue } from '../core/json.ts';
import { classifyFailure } from '../core/retry.ts';
import type { Clock } from '../core/system.ts';
import { StreamDeadlines } from './deadlines.ts';
import { AttemptMeasure, hashText, readStream } from './perform-generation.ts';
import { providerFailure } from './provider-failure.ts';
import { StreamAssembler, type AssembledPart } from './stream-assembler.ts';

/** One generation beside a turn's steps, under the same time limits and with the same record. Never throws; null when it was aborted. */
export async function generateBeside(clock: Clock, { attempt, purpose, model, prices, options, limits, signal }: GenerationBeside): Promise<BesideOutcome | null> {
  const measured = new AttemptMeasure({ ...attempt, purpose }, prices);
  measured.called({ model, instructionsHash: hashText(options.prompt.flatMap((message) => (message.role === 'system' ? [message.content] : [])).join('\n')) });
  const assembler = new StreamAssembler();
  const deadlines = new StreamDeadlines(clock, limits, signal);
  try {
    await readStream({ model, options }, assembler, () => undefined, deadlines, () => measured.sawPart(clock.nowMs()));
    measured.answered(assembler);
    const parts = assembler.parts();
    return { kind: 'generated', attempt: measured.record(clock.nowMs()), text: parts.map((part) => (part.type === 'text' ? part.text : '')).join(''), calls: parts.flatMap(callOf) };
  } catch (error) {
    if (signal.aborted) return null;
    measured.answered(assembler);
    const failure = providerFailure(deadlines.fault ?? error, model.provider, clock.nowMs());
    return { kind: 'failed', attempt: measured.record(clock.nowMs()), error: classifyFailure(failure), retryAfterMs: failure.retryAfterMs ?? 0 };
  } finally {
    deadlines.end();
  }
}

function callOf(part: AssembledPart): readonly BesideCall[] {
  if (part.type !== 'raw-call') return [];
  const { toolName, inputText } = part.call;
  try {
    return [{ toolName, input: JSON.parse(inputText === '' ? '{}' : inputText) as JsonValue }];
  } catch {
    // That it was called is what counts.
    return [{ toolName, input: null }];
  }
}
