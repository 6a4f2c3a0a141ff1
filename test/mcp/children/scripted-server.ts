// A stdio server that misbehaves as it is told: what no well-made server does, and what it was asked, line by line in a journal.
import { appendFileSync, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';

/** What the server does. Its tools answer with their names unless they are `echo`, `meta`, `hang`, `grow`, `flood`, `crash` or `refuse`. */
export interface ServerScript {
  readonly journal: string;
  readonly tools?: readonly object[];
  /** Tools on one page of the list. Default: all. */
  readonly pageTools?: number;
  /**
   * `silent` reads and says nothing; `exit` ends at once with code 3; `stubborn` ignores SIGTERM and the end of its input; `growing` has one more tool by the time
   * its first list arrives. */
  readonly manner?: 'silent' | 'exit' | 'stubborn' | 'no-tools' | 'growing';
  /** Every process of it but the first is silent. */
  readonly silentLater?: boolean;
  /** With `flood`: how many bytes its answer has. */
  readonly floodBytes?: number;
}

interface Request {
  readonly id?: number;
  readonly method: string;
  readonly params?: { readonly name?: string; readonly arguments?: object; readonly cursor?: string; readonly requestId?: number; readonly _meta?: object };
}

const script = JSON.parse(process.argv[2] ?? '{}') as ServerScript;
const silent = script.manner === 'silent' || (script.silentLater === true && existsSync(script.journal));
const note = (line: string): void => appendFileSync(script.journal, `${line}\n`);
const say = (message: object): void => {
  process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
};
const tools: object[] = [...(script.tools ?? [{ name: 'echo', inputSchema: { type: 'object' } }])];

note(`started ${process.pid}`);
if (script.manner === 'exit') process.exit(3);
if (script.manner === 'stubborn') {
  process.on('SIGTERM', () => note('SIGTERM'));
  setInterval(() => undefined, 60_000);
}
createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line) as Request;
  note(`read ${request.method}`);
  if (silent) return;
  if (request.method === 'notifications/cancelled') note(`cancelled ${request.params?.requestId}`);
  if (request.id !== undefined) answer(request.id, request);
});

function answer(id: number, { method, params = {} }: Request): void {
  switch (method) {
    case 'initialize':
      return say({ id, result: { protocolVersion: '2025-11-25', capabilities: script.manner === 'no-tools' ? {} : { tools: { listChanged: true } }, serverInfo: { name: 'scripted', version: '1' } } });
    case 'tools/list': {
      const from = Number(params.cursor ?? 0);
      const to = from + (script.pageTools ?? tools.length);
      const page = { tools: tools.slice(from, to), ...(to < tools.length ? { nextCursor: String(to) } : {}) };
      if (script.manner === 'growing' && tools.length === 1) grow();
      return say({ id, result: page });
    }
    case 'tools/call':
      return call(id, params.name ?? '', params);
    default:
      return say({ id, error: { code: -32_601, message: 'no such method' } });
  }
}

function grow(): void {
  tools.push({ name: 'grown', inputSchema: { type: 'object' } });
  say({ method: 'notifications/tools/list_changed' });
}

function call(id: number, name: string, { arguments: input = {}, _meta: meta = {} }: NonNullable<Request['params']>): void {
  const text = (value: string): void => say({ id, result: { content: [{ type: 'text', text: value }] } });
  switch (name) {
    case 'echo':
      return text(JSON.stringify(input));
    case 'meta':
      return say({ id, result: { content: [], structuredContent: meta } });
    case 'hang':
      return note(`hanging ${id}`);
    case 'grow':
      grow();
      return text('grown');
    case 'flood':
      process.stdout.write(`{"jsonrpc":"2.0","id":${id},"result":{"content":[{"type":"text","text":"`);
      process.stdout.write('x'.repeat(script.floodBytes ?? 0));
      process.stdout.write('"}]}}\n');
      return;
    case 'crash':
      return process.exit(3);
    case 'refuse':
      return say({ id, error: { code: -32_000, message: `no, said ${Object.values(process.env).join(' ')}` } });
    default:
      return text(name);
  }
}
