import process from 'node:process';

/** What a command has to say goes to stdout; what is said about it, to stderr. So the one can be piped while the other is read. */

/** Writes to stdout; resolves when more may be written, so that a slow reader slows the writer down. */
export async function print(text: string): Promise<void> {
  const { stdout } = process;
  if (!stdout.writable || stdout.write(text)) return;
  await new Promise<void>((resolve) => {
    for (const event of ['drain', 'error', 'close']) stdout.once(event, () => resolve());
  });
}

export async function printLine(text = ''): Promise<void> {
  await print(`${text}\n`);
}

/** One JSON value on one line. */
export async function printJson(value: unknown): Promise<void> {
  await print(`${JSON.stringify(value)}\n`);
}

/** A line on stderr, for the person. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Text of users and models on a terminal must not move its cursor or change its title: control characters but tab and newline are shown as `\u241b` and the like. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) => {
    const unit = control.charCodeAt(0);
    if (control === '\n' || control === '\t') return control;
    return unit < 0x20 ? String.fromCharCode(0x2400 + unit) : unit === 0x7f ? '\u2421' : '\ufffd';
  });
}

/** {@link printable} where stdout is a terminal; the text itself where it goes into a file or a program. */
export function forStdout(text: string): string {
  return process.stdout.isTTY ? printable(text) : text;
}

/** One line, at most so long. */
export function oneLine(text: string, charsMax: number): string {
  const line = printable(text).replace(/\s+/g, ' ').trim();
  return line.length <= charsMax ? line : `${line.slice(0, charsMax - 1)}…`;
}

/** An amount of money as its millionths, in the currency of the prices. */
export function money(micros: number): string {
  return (micros / 1_000_000).toFixed(6);
}
