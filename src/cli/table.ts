import { printLine } from './terminal.ts';

/** Prints rows under their heads, in columns as wide as their widest cell. */
export async function printTable(heads: readonly string[], rows: readonly (readonly string[])[]): Promise<void> {
  const widths = heads.map((head, column) => Math.max(head.length, ...rows.map((row) => row[column]?.length ?? 0)));
  for (const row of [heads, ...rows]) await printLine(row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ').trimEnd());
}
