import type { Recording } from './recording.ts';
import { chanceOf } from './seeded-random.ts';
import { toolKind } from './tool-kind.ts';

/** How long things take in a run, in milliseconds. */
export interface Pace {
  /** A whole generation, spread over its parts. */
  readonly modelMs: number;
  readonly toolMsMin: number;
  readonly toolMsMax: number;
  readonly operationMsMin: number;
  readonly operationMsMax: number;
  /** How long a person or a client takes at most to answer. */
  readonly answerMsMax: number;
  /** Before each user message. */
  readonly pauseMs: number;
}

/** Everything answers at once. */
export const atOnce: Pace = { modelMs: 0, toolMsMin: 0, toolMsMax: 0, operationMsMin: 0, operationMsMax: 0, answerMsMax: 0, pauseMs: 0 };

/** A kill run is made long enough for half as many kills again as it needs. */
const killsPlannedShare = 1.5;
const modelMsMin = 30;
const toolMs = { min: 5, max: 50, longMin: 40 } as const;
/** Operations are longer than tools, and yet too short to be killed again and again until they are given up. */
const operationMs = { min: 20, max: 300, killShareMax: 0.4 } as const;
const answerMsMax = 250;

export interface KillPlanOptions {
  readonly concurrency: number;
  readonly killEveryMs: number;
  readonly killsNeeded: number;
  readonly workers: number;
}

export interface KillPlan {
  readonly pace: Pace;
  /** Kills that the whole run should see. */
  readonly killsPlanned: number;
  /** How long the run takes at least, as planned. */
  readonly expectedMs: number;
  /** Kills that will find a tool running, as planned. */
  readonly expectedKillsInTool: number;
}

/**
 * The pace of a kill run: generations of at least 30 ms and tools of 5 to 50 ms. A run too short for its kills is stretched: first tools to the upper end of
 * their range, then generations up to a sixth of the time between two kills (longer ones would die so often in a row that their session is parked as poisoned),
 * the rest as pauses before the user messages.
 */
export function killPlan(recordings: readonly Recording[], { concurrency, killEveryMs, killsNeeded, workers }: KillPlanOptions): KillPlan {
  const turns = recordings.flatMap((recording) => recording.turns);
  const steps = turns.flatMap((turn) => turn.steps);
  const toolSteps = steps.filter(({ calls }) => calls.length > 0).length;
  // The empty finish after a turn's last results is a generation too.
  const generations = steps.length + turns.filter((turn) => turn.steps.at(-1)?.calls.length !== 0).length;
  const operationMsMax = Math.round(Math.max(operationMs.min, Math.min(operationMs.max, killEveryMs * workers * operationMs.killShareMax)));
  const outside = { operationMsMin: operationMs.min, operationMsMax, answerMsMax };
  const operations = steps.flatMap(({ calls }) => calls).filter(({ name }) => toolKind(name).background !== null).length;
  // The steps that wait for somebody or for an operation; what comes beside them goes on side by side.
  const asking = steps.filter(({ calls }) => calls.some(({ answer }) => answer !== undefined)).length;
  const waiting = steps.filter(({ calls }) => calls.some(({ name }) => toolKind(name).background === 'await')).length;
  const operationMsMean = (operationMs.min + operationMsMax) / 2;
  const outsideMs = (asking * answerMsMax) / 2 + waiting * operationMsMean;
  const sideBySide = Math.max(1, Math.min(concurrency, recordings.length));
  const killsPlanned = Math.ceil(killsPlannedShare * killsNeeded);
  const neededMs = killsPlanned * killEveryMs * sideBySide;
  const workMs = ({ modelMs, toolMsMin, toolMsMax }: Omit<Pace, 'pauseMs'>): number => generations * modelMs + toolSteps * ((toolMsMin + toolMsMax) / 2) + outsideMs;
  let pace: Pace = { modelMs: modelMsMin, toolMsMin: toolMs.min, toolMsMax: toolMs.max, ...outside, pauseMs: 0 };
  if (workMs(pace) < neededMs) {
    const long = { ...pace, toolMsMin: toolMs.longMin };
    const missingMs = neededMs - workMs(long);
    const modelMs = Math.round(Math.min(Math.max(modelMsMin, killEveryMs / 6), modelMsMin + Math.max(0, missingMs) / Math.max(1, generations)));
    pace = { ...long, modelMs };
    pace = { ...pace, pauseMs: Math.round(Math.max(0, neededMs - workMs(pace)) / Math.max(1, turns.length)) };
  }
  const expectedMs = (workMs(pace) + turns.length * pace.pauseMs) / sideBySide;
  const inToolMs = (toolSteps * (pace.toolMsMin + pace.toolMsMax)) / 2 + operations * operationMsMean;
  const toolShare = inToolMs / Math.max(1, expectedMs * workers);
  return { pace, killsPlanned, expectedMs, expectedKillsInTool: (expectedMs / killEveryMs) * (1 - Math.exp(-toolShare)) };
}

/** How long one call takes: drawn by its name, so that it is the same in whatever process it runs. */
export function toolMsOf({ toolMsMin, toolMsMax }: Pace, seed: number, callKey: string): number {
  return Math.round(toolMsMin + chanceOf(seed, callKey) * (toolMsMax - toolMsMin));
}

/** How long one operation takes: drawn as {@link toolMsOf}. */
export function operationMsOf({ operationMsMin, operationMsMax }: Pace, seed: number, callName: string): number {
  return Math.round(operationMsMin + chanceOf(seed, callName) * (operationMsMax - operationMsMin));
}

/** Resolves after `ms`, or at once when the signal is aborted. No time is no wait at all. */
export async function passTime(ms: number, signal?: AbortSignal): Promise<void> {
  if (ms <= 0 || signal?.aborted === true) return;
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end, { once: true });
  });
}
