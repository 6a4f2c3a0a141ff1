import type { JsonValue } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { isObject } from './chat/chat-parts.ts';
import { parseLine, type ParsedLine } from './parse-line.ts';
import { plainProblem } from './plain-problem.ts';
import type { InputLine } from './read-lines.ts';
import type { SessionLine } from './session-lines.ts';
import { readSessionLine, wholeSession, type EntryCheck, type WholeSession } from './whole-session.ts';

/** What is imported at once: one line, or all lines of a whole session. `chars` is how much text it was. */
export type LineUnit = { readonly line: number; readonly chars: number } & (
  | { readonly kind: 'conversation'; readonly parsed: ParsedLine }
  | { readonly kind: 'session'; readonly session: WholeSession }
  | { readonly kind: 'state'; readonly value: JsonValue }
  | { readonly kind: 'bad'; readonly error: string }
);

interface OpenSession {
  readonly line: number;
  readonly id: string;
  readonly parts: SessionLine[];
  chars: number;
  /** Why it is not taken. Its further lines are read over, so that one bad line is said once. */
  problem: string | null;
}

/** Lines as what they are. The lines of a session follow each other; at most `limits.importSessionCharsMax` of them are kept. */
export async function* lineUnits(lines: AsyncIterable<InputLine>, checkEntry: EntryCheck): AsyncGenerator<LineUnit, void, void> {
  let open: OpenSession | null = null;
  for await (const input of lines) {
    const { number: line } = input;
    const parsed = 'problem' in input ? input.problem : parseLine(input.text);
    const own = typeof parsed === 'string' ? null : ownLine(parsed.value);
    if (open !== null && !(own?.format === 'holdfast.session' && own['session'] === undefined && own['id'] === open.id)) {
      yield cut(open, line);
      open = null;
    }
    const chars = 'text' in input ? input.text.length : 0;
    if (typeof parsed === 'string') yield { kind: 'bad', line, chars, error: parsed };
    else if (own === null) yield { kind: 'conversation', line, chars, parsed };
    else if (own.format === 'holdfast.session') {
      open = takeLine(open, { line, chars, own }, checkEntry);
      if (own['more'] === true) continue;
      yield closed(open);
      open = null;
    } else {
      const problem = own.format === 'holdfast.state' ? plainProblem(parsed.value) : `format: ${JSON.stringify(own.format.slice(0, 100))} is not known here`;
      yield problem === null ? { kind: 'state', line, chars, value: parsed.value } : { kind: 'bad', line, chars, error: problem };
    }
  }
  if (open !== null) yield cut(open, null);
}

type OwnLine = { readonly format: string } & { readonly [name: string]: JsonValue | undefined };

/** A line that says of itself that it is Holdfast's. */
function ownLine(value: JsonValue): OwnLine | null {
  return isObject(value) && typeof value['format'] === 'string' && value['format'].startsWith('holdfast.') ? (value as OwnLine) : null;
}

function takeLine(before: OpenSession | null, { line, chars, own }: { readonly line: number; readonly chars: number; readonly own: OwnLine }, checkEntry: EntryCheck): OpenSession {
  const open = before ?? { line, id: typeof own['id'] === 'string' ? own['id'] : '', parts: [], chars: 0, problem: null };
  open.chars += chars;
  if (open.problem !== null) return open;
  const where = line === open.line ? '' : `line ${line}: `;
  const read = open.chars > limits.importSessionCharsMax ? `the session has more than ${limits.importSessionCharsMax} characters` : (plainProblem(own) ?? readSessionLine(own, checkEntry));
  if (typeof read === 'string') {
    open.problem = where + read;
    open.parts.length = 0;
  } else {
    open.parts.push(read);
  }
  return open;
}

function closed({ line, chars, problem, parts }: OpenSession): LineUnit {
  const session = problem ?? wholeSession(parts);
  return typeof session === 'string' ? { kind: 'bad', line, chars, error: session } : { kind: 'session', line, chars, session };
}

function cut({ line, id, chars, problem }: OpenSession, at: number | null): LineUnit {
  return { kind: 'bad', line, chars, error: problem ?? `session ${id} is not whole: ${at === null ? 'the file ends' : `line ${at} is none of it`}` };
}
