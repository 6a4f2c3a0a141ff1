import type { MakeCheck } from './check.ts';

/** All guarantees, each as what would show that it does not hold. */
export const allChecks: readonly MakeCheck[] = [];
