import process from 'node:process';
import { text as readText } from 'node:stream/consumers';

/** The message that a command line says word by word; "-" alone: what comes from stdin, without the end of its last line. */
export async function messageText(words: readonly string[]): Promise<string> {
  return words.length === 1 && words[0] === '-' ? (await readText(process.stdin)).trimEnd() : words.join(' ');
}
