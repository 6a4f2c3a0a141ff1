import { canonicalJson, type JsonObject, type JsonValue } from '../../../core/json.ts';
import type { Check, MakeCheck } from '../check.ts';
import type { Answered } from '../happenings.ts';

/** The command that a request's key belongs to: tenant and owner, command, target. */
export function keyScope({ request: { owner = 'ada', method, path, key } }: Pick<Answered, 'request'>): string | null {
  // An external id may name another session by and by.
  const isById = !path.startsWith('/v1/sessions/') || path.startsWith('/v1/sessions/ses_');
  return key === null || method === 'GET' || !isById ? null : `${owner} ${method} ${path} ${key}`;
}

/** G2: a key with one body has one reply, however often it is sent; with another body it is refused. */
export const keyHasOneReply: MakeCheck = (violated, { time }): Check => {
  const replies = new Map<string, { readonly body: string; readonly status: number; readonly told: string; readonly atMs: number }>();
  return {
    answered(answered) {
      const { request, status, body: reply } = answered;
      const scope = keyScope(answered);
      if (scope === null || (status >= 300 && status !== 422 && status !== 409)) return;
      const told = canonicalJson(withoutContent(reply));
      const body = canonicalJson(request.body ?? null);
      const first = replies.get(scope);
      if (status === 422) {
        if (first?.body === body) violated('G2', `${scope}: the same body is refused with 422 after it was answered with ${first.status}`);
        return;
      }
      if (status === 409) {
        // Sent once it was answered, it is a repetition, whatever has become of the session since.
        if (first?.body === body && request.sentAtMs >= first.atMs) violated('G2', `${scope}: a repetition is refused with ${told} after it was answered with ${first.status}`);
        return;
      }
      if (first === undefined) return void replies.set(scope, { body, status, told, atMs: time.nowMs });
      if (first.body !== body) violated('G2', `${scope}: another body is answered with ${status}: ${body}, first ${first.body}`);
      else if (first.status !== status || first.told !== told) violated('G2', `${scope}: answered with ${first.status} ${first.told} and ${status} ${told}`);
    },
  };
};

/**
 * What stays of a reply when it is given again. What people wrote is not kept with it, so that redacting it removes it: a repetition says it as it is then.
 */
function withoutContent(reply: JsonValue): JsonValue {
  if (reply === null || typeof reply !== 'object') return reply;
  const { session, effects, value: _value, ...rest } = reply as JsonObject;
  const listed = ((effects ?? []) as readonly JsonObject[]).map(({ input: _input, ...effect }) => effect);
  return { ...rest, effects: listed, ...(session === undefined ? {} : kept(session as JsonObject)) };
}

function kept({ title: _title, preview: _preview, summary: _summary, metadata: _metadata, simulator: _simulator, ...session }: JsonObject): JsonObject {
  return session;
}

/** G2: a message is said once in its session's log and queued once, whatever came of it; so is each turn begun once and ended once. */
export const onceInLog: MakeCheck = (violated): Check => {
  const seen = new Map<string, Set<string>>();
  return {
    committed({ ref, before, session, added }) {
      if (before === null || session === null) seen.delete(ref.id);
      const marks = seen.get(ref.id) ?? new Set();
      seen.set(ref.id, marks);
      for (const entry of added) {
        const mark = entry.kind === 'user-message' || entry.kind === 'message-queued' ? `${entry.kind} ${entry.messageId}`
          : entry.kind === 'turn-ended' || entry.kind === 'turn-started' ? `${entry.kind} ${entry.turnId}`
            : entry.kind === 'operation-started' || entry.kind === 'operation-ended' ? `${entry.kind} ${entry.operationId}` : null;
        if (mark === null) continue;
        if (marks.has(mark)) violated('G2', `${ref.id}: ${mark} stands in its log twice, the second time at ${entry.seq}`);
        marks.add(mark);
      }
    },
  };
};
