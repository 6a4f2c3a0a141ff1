import { z } from 'zod';
import type { Principal } from '../agent/tool.ts';
import { ownerScope, type CommandHost, type CommandOptions, type CommandReply } from '../commands/command-host.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Session } from '../core/session.ts';
import type { Feed } from '../feed/feed.ts';
import type { ListenerEnv } from './listener-env.ts';
import type { ProblemCode } from './problem-table.ts';
import type { StreamSlots } from './stream-slots.ts';

/** What requests are answered with. */
export interface RouteHost {
  readonly commands: CommandHost;
  readonly feed: Feed;
  /** Waits until a turn has ended or needs an action. */
  readonly waiters: { wait(ref: { readonly tenant: string; readonly id: string }, turnId: string, signal?: AbortSignal): Promise<void> };
  readonly isReady: () => Promise<boolean>;
  readonly log: (level: 'info' | 'warn' | 'error', event: string, fields: Readonly<Record<string, string | number | boolean | null>>) => void;
  readonly streamSlots: StreamSlots;
  /** Whether callers say who they are. */
  readonly authenticated: boolean;
}

/** One request, read and checked as its route says. */
export interface Call<Query, Body> {
  readonly host: RouteHost;
  readonly principal: Principal;
  /** A part of the path, URL-decoded. */
  readonly param: (name: string) => string;
  readonly query: Query;
  /** The body as it was sent: its command checks it. `{}` when there was none and there may be none. */
  readonly body: Body;
  /** Who asks, the key and the revision; for commands. */
  readonly options: CommandOptions;
  readonly request: Request;
  readonly env: ListenerEnv;
}

/** A reply of a route: the shape of its JSON, or the media type of what is no JSON; `event`: the shape of a stream's events. */
export type ReplyShape = z.ZodType | { readonly contentType: string; readonly event?: z.ZodType };

export interface RouteDefinition<Query extends z.ZodObject, Body extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With `:name` for what varies. */
  readonly path: string;
  /** Its name in the OpenAPI document. */
  readonly name: string;
  readonly summary: string;
  /** Default: it takes no parameters. */
  readonly query?: Query;
  /** Default: it takes no body. */
  readonly body?: Body;
  /** No body is the same as `{}`. */
  readonly bodyOptional?: boolean;
  /** It changes something: `keyed` takes `Idempotency-Key`, `guarded` takes `If-Match` as well, `versioned` too, as the version of the value that it writes; `repeatable` needs neither: the same request again has the same reply and no effect. */
  readonly command?: 'keyed' | 'guarded' | 'versioned' | 'repeatable';
  /** `token`: a secret that comes with the request says all that is asked for, and nobody is asked who they are. Default: the caller has to be somebody. */
  readonly access?: 'token';
  readonly replies: Readonly<Record<number, ReplyShape>>;
  /** The refusals of its own; those that go with its kind are added. */
  readonly refusals?: readonly ProblemCode[];
  readonly handle: (call: Call<z.output<Query>, z.input<Body>>) => Promise<Response | Refusal>;
}

export type Route = RouteDefinition<z.ZodObject, z.ZodType>;

/** Declares a route, with the types of its query and body inferred. */
export function route<Query extends z.ZodObject = z.ZodObject, Body extends z.ZodType = z.ZodType>(definition: RouteDefinition<Query, Body>): Route {
  // A handler is only ever given what its own schemas have read.
  return definition as unknown as Route;
}

/** No parameters; no fields. */
export const nothing = z.strictObject({});

/** A JSON reply. With a revision, it is its `ETag`, for `If-Match`. */
export function jsonResponse(value: unknown, { status = 200, revision, headers = {} }: { readonly status?: number; readonly revision?: number | undefined; readonly headers?: Readonly<Record<string, string>> } = {}): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { 'content-type': 'application/json', ...(revision === undefined ? {} : { etag: `"${revision}"` }), ...headers },
  });
}

/** The reply of a command, as it is or shaped. */
export function commandResponse<Reply extends object>(result: CommandReply<Reply> | Refusal, shape: (reply: Reply) => unknown = (reply) => reply): Response | Refusal {
  if (isRefusal(result)) return result;
  const { reply, httpStatus, replayed } = result;
  const revision = 'revision' in reply && typeof reply.revision === 'number' ? reply.revision : undefined;
  return jsonResponse(shape(reply), { status: httpStatus, revision, headers: replayedHeader(replayed) });
}

export function replayedHeader(replayed: boolean): Readonly<Record<string, string>> {
  return replayed ? { 'idempotent-replayed': 'true' } : {};
}

/** The session that the path names by its id or external id, if the caller may see it (G13). Refusal: `session_not_found`. */
export async function sessionOf({ host, principal, param }: Pick<Call<unknown, unknown>, 'host' | 'principal' | 'param'>): Promise<Session | Refusal> {
  const id = param('id');
  const session = isPossibleId(id) ? await host.commands.store.readSession({ tenant: principal.tenant, id, owner: ownerScope(principal) }) : null;
  return session ?? noSession(id);
}

/** Whether a store may be asked for this id: no session has another. */
export function isPossibleId(id: string): boolean {
  return id.length <= limits.clientIdCharsMax && id.isWellFormed() && !id.includes('\u0000');
}

/** The id, or one that nothing has. */
export function possibleId(id: string): string {
  return isPossibleId(id) ? id : '-';
}

export function noSession(id: string): Refusal {
  return refuse('session_not_found', `there is no session ${id.slice(0, limits.clientIdCharsMax).toWellFormed()}`);
}
