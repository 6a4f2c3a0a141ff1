import { Hono, type Context } from 'hono';
import { TrieRouter } from 'hono/router/trie-router';
import type { Principal } from '../agent/tool.ts';
import { parseInput } from '../commands/input.ts';
import { isRefusal, refuse, type Refusal } from '../core/errors.ts';
import type { JsonValue } from '../core/json.ts';
import { listenerEnv } from './listener-env.ts';
import { refuseForeign, refuseForeignHost } from './local-request.ts';
import { problemResponse, errorFields, refusalResponse, thrownProblem } from './problem.ts';
import { parseQuery } from './query-parameters.ts';
import { readJsonBody } from './request-body.ts';
import { commandHeaders } from './request-headers.ts';
import { nothing, type Call, type Route, type RouteHost } from './route.ts';
import { routeTable } from './routes/route-table.ts';
import { StreamSlots } from './stream-slots.ts';

/**
 * Says who sends a request; null refuses it (401). What it throws is answered with 500 and its message is neither sent nor logged. Where it goes by cookies,
 * it is also what refuses requests that pages of other sites make a browser send.
 */
export type Authenticate = (request: Request) => Principal | null | Promise<Principal | null>;

export interface ServerHost extends Omit<RouteHost, 'authenticated' | 'streamSlots'> {
  /** null: nobody is asked who they are, everybody is `localPrincipal`, and only requests of this machine are answered. */
  readonly authenticate: Authenticate | null;
  readonly localPrincipal: Principal;
}

interface AppEnv {
  Variables: { requestId: string; principal: Principal };
}

type AppContext = Context<AppEnv>;

/** Who comes with a token and is asked for nothing else: owns nothing, and may do what the token is for. */
const nobody: Principal = { tenant: '', owner: '', roles: [] };

/**
 * The HTTP API and the web page, as a function of a request that mounts anywhere. A listener may pass a `ListenerEnv` along. Nothing of a request has an
 * effect before all of it has been checked, and every error is an `application/problem+json` reply from the problem table.
 */
export function createApp(host: ServerHost): Hono<AppEnv> {
  const { authenticate, localPrincipal } = host;
  const routeHost: RouteHost = { ...host, authenticated: authenticate !== null, streamSlots: new StreamSlots() };
  // Paths are matched as they came and their parts decoded once, so that an id may have any character. The router is the one that Hono would take for these paths, after it had built another in vain.
  const app = new Hono<AppEnv>({ getPath: rawPathOf, router: new TrieRouter() });
  app.onError((error, context) => answerThrown(host, error, context));
  app.notFound(() => problemResponse('not_found', 'there is nothing at this address'));
  app.use('*', async (context, next) => {
    context.set('requestId', host.commands.system.ids.mint('req'));
    await next();
    finishHeaders(context);
  });
  app.use('*', async (context, next) => (hasValidPath(context.req.path) ? next() : problemResponse('invalid_request', 'the path is not URL-encoded UTF-8')));
  app.use('/v1/*', async (context, next) => {
    const { raw, method, path } = context.req;
    const principal = isByToken(method, path) ? ((authenticate === null ? refuseForeignHost(raw) : null) ?? nobody)
      : authenticate === null ? (refuseForeign(raw) ?? localPrincipal) : await authenticate(raw);
    if (principal === null) return problemResponse('unauthenticated', 'the request does not say who sends it', {}, { 'www-authenticate': 'Bearer' });
    if (isRefusal(principal)) return refusalResponse(principal);
    context.set('principal', principal);
    return next();
  });
  for (const each of routeTable) app.on(each.method, each.path, (context) => answer(routeHost, each, context));
  for (const [path, methods] of methodsByPath(routeTable)) {
    app.all(path, ({ req }) => problemResponse('method_not_allowed', `this address takes ${methods.join(', ')}, not ${req.method}`, {}, { allow: methods.join(', ') }));
  }
  return app;
}

async function answer(host: RouteHost, each: Route, context: AppContext): Promise<Response> {
  const request = context.req.raw;
  const parsed = parseQuery(each.query ?? nothing, request.url);
  if (isRefusal(parsed)) return refusalResponse(parsed);
  const headers = each.command === undefined ? {} : commandHeaders(request.headers);
  if (isRefusal(headers)) return refusalResponse(headers);
  if ((each.command === 'keyed' || each.command === 'repeatable') && request.headers.has('if-match')) return refusalResponse(refuse('invalid_request', 'the header If-Match has no meaning here: there is no revision to compare it with'));
  const read = each.command === undefined ? { body: {} } : await bodyOf(each, request);
  if (isRefusal(read)) return refusalResponse(read);
  const principal = context.get('principal');
  const call: Call<Record<string, unknown>, unknown> = {
    host, principal, request, query: parsed.query, body: read.body, options: { principal, ...headers }, env: listenerEnv(context.env),
    param: (name) => context.req.param(name) ?? '',
  };
  // A stream would go on without anybody to end it.
  if (request.method === 'HEAD' && streams(each)) return new Response(null, { headers: { 'content-type': 'text/event-stream' } });
  const reply = await each.handle(call);
  return isRefusal(reply) ? refusalResponse(reply) : reply;
}

async function bodyOf({ body: schema, bodyOptional }: Route, request: Request): Promise<{ readonly body: JsonValue } | Refusal> {
  const read = await readJsonBody(request);
  if (isRefusal(read)) return read;
  const { body } = read;
  if (schema === undefined) return body === undefined ? { body: {} } : refuse('invalid_request', 'this request takes no body');
  if (body !== undefined) return schema === nothing ? nothingIn(body) : { body };
  return bodyOptional === true ? { body: {} } : refuse('invalid_request', 'the request has no body; it takes a JSON object');
}

/** Where a command has no fields, it has no check of its own. */
function nothingIn(body: JsonValue): { readonly body: JsonValue } | Refusal {
  const parsed = parseInput(nothing, body);
  return isRefusal(parsed) ? parsed : { body };
}

function streams({ replies }: Route): boolean {
  return Object.values(replies).some((shape) => 'contentType' in shape && shape.contentType === 'text/event-stream');
}

function answerThrown(host: ServerHost, error: Error, context: AppContext): Response {
  const problem = thrownProblem(error);
  if (isRefusal(problem)) return refusalResponse(problem);
  host.log('error', 'request-failed', { requestId: context.get('requestId'), method: context.req.method, route: context.req.routePath, ...errorFields(error) });
  if (problem === 'store_unavailable') return problemResponse(problem, 'the store does not answer; try again, commands with the same key');
  return problemResponse(problem, `something went wrong; the server's log has it as ${context.get('requestId')}`);
}

function finishHeaders(context: AppContext): void {
  const { headers } = context.res;
  headers.set('x-request-id', context.get('requestId'));
  headers.set('x-content-type-options', 'nosniff');
  headers.set('referrer-policy', 'no-referrer');
  headers.set('cross-origin-resource-policy', 'same-origin');
  if (!headers.has('cache-control')) headers.set('cache-control', 'no-store');
}

function rawPathOf(request: Request): string {
  const { url } = request;
  const start = url.indexOf('/', url.indexOf(':') + 4);
  const end = url.slice(start).search(/[?#]/);
  return end === -1 ? url.slice(start) : url.slice(start, start + end);
}

function hasValidPath(path: string): boolean {
  try {
    decodeURIComponent(path);
    return true;
  } catch (error) {
    if (error instanceof URIError) return false;
    throw error;
  }
}

function isByToken(method: string, path: string): boolean {
  return routeTable.some((each) => each.access === 'token' && each.method === method && patternOf(each).test(path));
}

function patternOf({ path }: Route): RegExp {
  return new RegExp(`^${path.replaceAll(/:\w+/g, '[^/]+')}$`);
}

/** What each address takes. An address that any name fits is left out: what does not fit there is not found. */
function methodsByPath(routes: readonly Route[]): ReadonlyMap<string, readonly string[]> {
  const named = routes.filter(({ path }) => !/^\/:\w+$/.test(path));
  return new Map([...Map.groupBy(named, ({ path }) => path)].map(([path, group]) => [path, group.flatMap(({ method }) => (method === 'GET' ? ['GET', 'HEAD'] : [method]))]));
}
