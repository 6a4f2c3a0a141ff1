import type { CallResult, Entry, EntryKind, EntryOf } from '../../core/entry.ts';
import { HoldfastError } from '../../core/errors.ts';
import type { JsonObject, JsonValue } from '../../core/json.ts';
import type { OpenAction } from '../../core/action.ts';
import { openActions, statusOf, type Session, type SessionStatus } from '../../core/session.ts';
import type { Holdfast } from '../../create-holdfast.ts';
import { chanceOf } from '../simulation/chance.ts';
import type { World } from '../simulation/world.ts';
import type { Failpoint } from './failpoint.ts';
import type { Answered, HttpCall, ToolRun } from '../simulation/happenings.ts';

/** Within so much virtual time everything that a scenario waits for happens, whatever fails: the longest tool twice, a lease, a look for work, and tries of a client. */
const waitMs = 30_000;
/** So often it is looked whether something has come true that no commit of a session tells of. */
const lookMs = 250;
const triesMax = 8;

/** What a scenario is played on: a client that does not give up, eyes for what is committed, and a voice for what is wrong. */
export class Stage {
  readonly world: World;
  /** null: a run in which nothing fails. */
  readonly failpoint: Failpoint | null;
  /** Tools that really ran, in the order in which they began. */
  readonly runs: ToolRun[] = [];
  /** What tools have done to the world outside. */
  readonly outside: string[];
  readonly #waiting = new Set<() => void>();
  #requests = 0;

  constructor(world: World, failpoint: Failpoint | null, outside: string[]) {
    this.world = world;
    this.outside = outside;
    this.failpoint = failpoint;
  }

  /** How the call of a tool may end that nobody may run a second time: a process that dies, and one whose store fails it, leaves its work to others, who do not know what came of it. */
  get reported(): readonly CallResult['outcome'][] {
    return this.failpoint === null ? ['done'] : ['done', 'unknown'];
  }

  /** Says what is not as it must be. */
  holds(condition: boolean, what: string): void {
    if (!condition) this.world.violated('scenario', what);
  }

  /** Sends a request until there is an answer that says what became of it. Rejects where it is another than 2xx. */
  async request(method: HttpCall['method'], path: string, body?: JsonObject, more: Partial<HttpCall> = {}): Promise<JsonObject> {
    const answered = await this.ask(method, path, body, more);
    if (answered.status >= 300) throw new HoldfastError('not_idle', `${method} ${path}: ${answered.status} ${JSON.stringify(answered.body)}`);
    return answered.body as JsonObject;
  }

  /** As {@link request}, whatever the answer. */
  async ask(method: HttpCall['method'], path: string, body?: JsonObject, more: Partial<HttpCall> = {}): Promise<Answered> {
    this.#requests += 1;
    const id = `r${this.#requests}`;
    const sent = { method, path, ...(body === undefined ? {} : { body }), ...more, id, kind: path, key: method === 'GET' || more.keyed === false ? null : id, sentAtMs: this.world.time.nowMs };
    for (let tries = 1; tries <= triesMax; tries += 1) {
      const answered = await this.world.client.send(sent, chanceOf(this.world.plan.seed, id, tries));
      if (answered !== null) return answered;
    }
    throw new HoldfastError('not_idle', `nobody answers ${method} ${path}`);
  }

  post(path: string, body?: JsonObject, more?: Partial<HttpCall>): Promise<JsonObject> {
    return this.request('POST', path, body, more);
  }

  /** Creates a session and returns its id. */
  async create(body: JsonObject = {}, more: Partial<HttpCall> = {}): Promise<string> {
    const { session } = await this.post('/v1/sessions', { agent: 'failing', ...body }, more);
    return (session as JsonObject)['id'] as string;
  }

  /** Sends a message, named by its text. */
  send(id: string, text: string, more: JsonObject = {}): Promise<JsonObject> {
    return this.post(`/v1/sessions/${id}/messages`, { text, messageId: `m_${text.replaceAll(/\W/g, '_')}`, ...more });
  }

  /** Does something by a Holdfast itself, as an administrator does it who begins anew when it fails: it must be repeatable. */
  async byHand<Result>(act: (holdfast: Holdfast) => Promise<Result>): Promise<Result> {
    for (let tries = 1; tries <= triesMax; tries += 1) {
      const process = this.world.processes.find(({ state, holdfast }) => state === 'running' && holdfast !== null);
      try {
        if (process?.holdfast !== undefined && process.holdfast !== null) return await Promise.race([act(process.holdfast), process.dies()]);
      } catch (error) {
        this.world.trace(() => `by hand: ${String(error)}`);
      }
      await this.world.time.sleep(500);
    }
    throw new HoldfastError('not_idle', 'nobody does it');
  }

  /** Resolves when it is so, with what is committed or begun. */
  async until(what: string, condition: () => boolean, withinMs = waitMs): Promise<void> {
    if (condition()) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const look = (): void => {
      if (condition()) resolve();
    };
    const again = (): void => {
      look();
      if (this.#waiting.has(look)) this.world.time.after(lookMs, again);
    };
    const cancel = this.world.time.after(withinMs, () => reject(new HoldfastError('not_idle', `${what}: not within ${withinMs} ms`)));
    this.#waiting.add(look);
    again();
    try {
      await promise;
    } finally {
      cancel();
      this.#waiting.delete(look);
    }
  }

  /** Something was committed, or a tool began. */
  happened(): void {
    for (const look of this.#waiting) look();
  }

  sleep(ms: number): Promise<void> {
    return this.world.time.sleep(ms);
  }

  session(id: string): Session {
    const session = this.world.observer.session({ id });
    if (session === null) throw new HoldfastError('not_idle', `there is no session ${id}`);
    return session;
  }

  log(id: string): readonly Entry[] {
    return this.world.observer.log({ id });
  }

  entries<Kind extends EntryKind>(id: string, kind: Kind): readonly EntryOf<Kind>[] {
    return this.log(id).filter((entry): entry is EntryOf<Kind> => entry.kind === kind);
  }

  /** So many turns have ended, and the session is at rest or paused. */
  async turnsEnded(id: string, count: number): Promise<void> {
    await this.until(`${count} turns have ended`, () => this.entries(id, 'turn-ended').length >= count);
    this.holds(this.entries(id, 'turn-ended').length === count, `${this.entries(id, 'turn-ended').length} turns have ended, not ${count}`);
  }

  async status(id: string, status: SessionStatus): Promise<void> {
    await this.until(`the session is ${status}`, () => statusOf(this.session(id)) === status);
  }

  /** A tool has begun so many times. */
  async began(toolName: string, times = 1): Promise<void> {
    await this.until(`${toolName} has begun`, () => this.runsOf(toolName).length >= times);
  }

  runsOf(toolName: string): readonly ToolRun[] {
    return this.runs.filter((run) => run.toolName === toolName);
  }

  /** The action that waits, once there is one. */
  async action(id: string): Promise<OpenAction> {
    await this.until('an action waits', () => openActions(this.session(id).turn).length > 0);
    const [action] = openActions(this.session(id).turn);
    if (action === undefined) throw new HoldfastError('not_idle', 'no action waits');
    return action;
  }

  async answer(id: string, answer: JsonObject): Promise<void> {
    const action = await this.action(id);
    await this.post(`/v1/sessions/${id}/actions/${action.id}`, answer);
  }

  /** How the calls of the session ended that its log has. */
  results(id: string): readonly CallResult[] {
    return this.entries(id, 'tool-results').flatMap(({ results }) => results);
  }

  /** The one result of the one call of a tool. */
  result(id: string, toolName: string): CallResult | undefined {
    const found = this.results(id).filter((result) => result.toolName === toolName);
    this.holds(found.length === 1, `${toolName} has ${found.length} results, not one`);
    return found[0];
  }

  outcomeIs(id: string, toolName: string, outcomes: readonly CallResult['outcome'][]): void {
    const result = this.result(id, toolName);
    this.holds(result !== undefined && outcomes.includes(result.outcome), `${toolName} ended ${JSON.stringify(result)}, and not as ${outcomes.join(' or ')}`);
  }

  /** Why the turns ended, in their order. */
  reasons(id: string): readonly string[] {
    return this.entries(id, 'turn-ended').map(({ reason }) => reason);
  }

  /** What the agent has said last. */
  lastText(id: string): string {
    return (this.entries(id, 'assistant-step').at(-1)?.parts ?? []).flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('');
  }

  equals(found: JsonValue | readonly unknown[], expected: JsonValue | readonly unknown[], what: string): void {
    this.holds(JSON.stringify(found) === JSON.stringify(expected), `${what}: ${JSON.stringify(found)}, not ${JSON.stringify(expected)}`);
  }
}
