import { HoldfastError } from '../../core/errors.ts';

/** How a call of the store fails: it is answered with an error and has had no effect, or has had it; the process dies before it, or after it. */
export type FailWay = 'error-before' | 'error-after' | 'crash-before' | 'crash-after';

export const failWays: readonly FailWay[] = ['error-before', 'error-after', 'crash-before', 'crash-after'];

/** One point at which a scenario fails. The same point is always the same run. */
export interface Failpoint {
  /** Name of the scenario. */
  readonly scenario: string;
  /** The how manieth call of the store fails, from 1: of all processes together, from the scenario's first request on. */
  readonly call: number;
  readonly way: FailWay;
}

/** `plain-turn:7:crash-after`: names the point, to run it again. */
export function failpointName({ scenario, call, way }: Failpoint): string {
  return `${scenario}:${call}:${way}`;
}

/** The point of such a name. Throws `HoldfastError` code `options_invalid` where it is none. */
export function failpointOf(name: string): Failpoint {
  const [, scenario = '', call, way] = /^([\w-]+):([1-9]\d*):([\w-]+)$/.exec(name) ?? [];
  const found = failWays.find((each) => each === way);
  if (found === undefined) throw new HoldfastError('options_invalid', `${JSON.stringify(name)} is no failpoint: write SCENARIO:CALL:WAY, with a way of ${failWays.join(', ')}`);
  return { scenario, call: Number(call), way: found };
}
