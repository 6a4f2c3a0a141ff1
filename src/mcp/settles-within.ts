import type { Clock } from '../core/system.ts';

/** Whether the work settles, well or badly, within the time; it resolves as soon as that is known and never rejects. The work goes on either way. */
export function settlesWithin(work: Promise<unknown>, clock: Clock, timeMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = clock.after(timeMs, () => resolve(false));
    const settled = (): void => {
      cancel();
      resolve(true);
    };
    work.then(settled, settled);
  });
}
