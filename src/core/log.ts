/** What a process says of its work. Fields hold ids, codes and counts: no content, no secret. */
export type Log = (level: 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, string | number | boolean | null>>) => void;
