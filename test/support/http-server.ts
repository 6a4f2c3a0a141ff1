import { onTestFinished } from 'vitest';
import { agent, type AgentOptions } from '../../src/agent/agent.ts';
import type { Holdfast } from '../../src/create-holdfast.ts';
import type { SendReply } from '../../src/core/accept/send.ts';
import type { SessionView } from '../../src/feed/session-view.ts';
import { listen, type ListenOptions } from '../../src/server/listen.ts';
import { scriptedModel, type ScriptedGeneration, type ScriptedModel } from '../../src/testing/scripted-model.ts';
import { documentedReply } from './documented-reply.ts';
import { openHoldfast, type OpenOptions } from './open-holdfast.ts';

export interface ServedOptions extends Omit<OpenOptions, 'agents'> {
  /** What the agent `tester` says, call by call; then `ok`. */
  readonly script?: readonly ScriptedGeneration[];
  readonly agent?: Partial<AgentOptions>;
  readonly listen?: Partial<ListenOptions>;
}

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body of a JSON reply, else null. */
  readonly json: ReplyJson;
}

/** What the replies of all routes hold, each its own part of it; that they do is what {@link documentedReply} sees to. */
export interface ReplyJson extends ReplyItem {
  readonly session: SessionView;
  readonly turn: SendReply;
  readonly revision: number;
  readonly queued: boolean;
  readonly stopped: boolean;
  readonly held: boolean;
  readonly messageIds: readonly string[];
  readonly actions: readonly { readonly actionId: string; readonly resolution: string }[];
  readonly operationId: string;
  readonly steers: { readonly turnId: string };
  readonly lastSeq: number;
  readonly simulator: SessionView['simulator'];
  readonly items: readonly ReplyItem[];
  readonly nextCursor: string | number | null;
  readonly count: number | null;
  readonly code: string;
  readonly detail: string;
  readonly byte: number;
}

interface ReplyItem {
  readonly id: string;
  readonly kind: string;
  readonly seq: number;
  readonly role: string;
  readonly status: string;
  readonly turnId: string;
  readonly messageId: string;
  readonly text: string;
  readonly reason: string | null;
  readonly parts: readonly { readonly text: string }[];
}

export interface Served {
  readonly holdfast: Holdfast;
  readonly model: ScriptedModel;
  readonly url: string;
  /** Makes a request; a body that is no string is sent as JSON. The reply is checked against the documented shape. */
  readonly request: (method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<Reply>;
  /** Creates a session of the agent `tester` and returns its id. */
  newSession(fields?: object): Promise<string>;
  close(): Promise<void>;
}

/** A Holdfast behind real HTTP on 127.0.0.1, both closed when the test ends. */
export async function serve({ script = [], agent: agentOptions, listen: listenOptions, ...options }: ServedOptions = {}): Promise<Served> {
  const model = scriptedModel(script, { otherwise: 'ok' });
  const holdfast = await openHoldfast({ ...options, agents: [agent({ name: 'tester', model, ...agentOptions })] });
  const listener = await listen({ fetch: holdfast.fetch, port: 0, authenticated: options.authenticate !== undefined, graceMs: 2_000, ...listenOptions });
  onTestFinished(() => listener.close());
  const request: Served['request'] = async (method, path, body, headers = {}) => {
    const sent = body === undefined ? {} : { body: typeof body === 'string' || body instanceof Uint8Array ? (body as NonNullable<RequestInit['body']>) : JSON.stringify(body) };
    const response = await fetch(`${listener.url}${path}`, { method, headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers }, ...sent });
    const text = await response.text();
    const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '') && text !== '';
    const reply = { status: response.status, headers: response.headers, text, json: (isJson ? JSON.parse(text) : null) as ReplyJson };
    documentedReply(method, path, reply);
    return reply;
  };
  return {
    holdfast, model, url: listener.url, request,
    newSession: async (fields = {}) => (await request('POST', '/v1/sessions', { agent: 'tester', ...fields })).json.session.id,
    close: () => listener.close(),
  };
}

/** Everything that a store says of its sessions, to see that nothing has changed. */
export async function everySession({ holdfast }: Pick<Served, 'holdfast'>): Promise<unknown> {
  const { items, count } = await holdfast.store.listSessions({ tenant: 'default', limit: 1_000, count: true });
  return { count, items };
}
