import type { Log } from '../core/log.ts';

export type { Log } from '../core/log.ts';

export const silentLog: Log = () => undefined;
