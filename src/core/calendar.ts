/** Days of UTC, counted from 1970-01-01. Pure: what day it is, nobody is asked here. */

const dayMs = 86_400_000;

/** The day of a time. */
export function dayOf(atMs: number): number {
  return Math.floor(atMs / dayMs);
}

/** When a day begins. */
export function dayBeginsMs(day: number): number {
  return day * dayMs;
}

/** The first day of a week, which begins on a Monday (ISO 8601). */
export function mondayOf(day: number): number {
  // 1970-01-01 was a Thursday.
  return day - ((day + 3) % 7);
}

/** The first day of a month; the thirteenth is the next year's first. */
export function firstOfMonth(year: number, month: number): number {
  return dayOf(Date.UTC(year, month - 1, 1));
}

/** The year and the month, from 1, of a day. */
export function monthOf(day: number): { readonly year: number; readonly month: number } {
  // A year has at most 366 days, so this is never too late.
  let year = 1970 + Math.floor(day / 366);
  while (firstOfMonth(year + 1, 1) <= day) year += 1;
  let month = 1;
  while (firstOfMonth(year, month + 1) <= day) month += 1;
  return { year, month };
}

/** A day as a date, `2026-01-31`. */
export function dateOfDay(day: number): string {
  const { year, month } = monthOf(day);
  return [String(year).padStart(4, '0'), String(month).padStart(2, '0'), String(day - firstOfMonth(year, month) + 1).padStart(2, '0')].join('-');
}

/** The day of a date; null: there is no such day, or none from 1970 on. */
export function dayOfDate(date: string): number | null {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(date);
  if (match === null) return null;
  const day = firstOfMonth(Number(match[1]), Number(match[2])) + Number(match[3]) - 1;
  return day >= 0 && dateOfDay(day) === date ? day : null;
}
