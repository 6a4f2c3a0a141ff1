import { inputHashOf } from '../../../agent/call-needs.ts';
import type { ResolveReply } from '../../../core/accept/resolve.ts';
import { canonicalJson } from '../../../core/json.ts';
import type { EntryOf } from '../../../core/entry.ts';
import type { Check, MakeCheck } from '../check.ts';

/** Section 6: an action is opened once and resolved once, by somebody who may, by an answer only before it expires and by its expiry only after; and a call that needs approval runs only with exactly the input that was approved. */
export const approvalsAreConsumedOnce: MakeCheck = (violated): Check => {
  const opened = new Map<string, EntryOf<'action-opened'>>();
  const resolved = new Map<string, EntryOf<'action-resolved'>>();
  const approvalOf = new Map<string, string>();
  return {
    committed({ ref, before, added }) {
      for (const entry of added) {
        if (entry.kind === 'action-opened') {
          const id = `${ref.id} ${entry.actionId}`;
          if (opened.has(id) && before !== null) violated('G6', `action ${id} is opened twice`);
          opened.set(id, entry);
          if (entry.type === 'approval') approvalOf.set(`${ref.id}/${entry.stepSeq}/${entry.index}`, id);
        } else if (entry.kind === 'action-resolved' && entry.copied !== true) {
          const id = `${ref.id} ${entry.actionId}`;
          const asked = opened.get(id);
          if (asked === undefined || resolved.has(id)) violated('G6', `action ${id} is resolved (${entry.resolution}) and ${asked === undefined ? 'was not opened' : `was ${resolved.get(id)?.resolution} before`}`);
          resolved.set(id, entry);
          const expiresAtMs = asked?.expiresAtMs ?? null;
          if (entry.by !== undefined && expiresAtMs !== null && entry.atMs >= expiresAtMs) violated('G6', `action ${id} is ${entry.resolution} ${entry.atMs - expiresAtMs} ms after it expired`);
          if (entry.resolution === 'expired' && (expiresAtMs === null || entry.atMs < expiresAtMs)) violated('G6', `action ${id} is expired before its time`);
        }
      }
    },
    answered({ request, status, body }) {
      const ref = /^\/v1\/sessions\/(ses_[^/?]+)\/actions(\/|$)/.exec(request.path)?.[1];
      if (ref === undefined || request.method !== 'POST' || status >= 300) return;
      const roles = request.roles ?? [];
      for (const { actionId } of (body as unknown as ResolveReply).actions) {
        const needed = opened.get(`${ref} ${actionId}`)?.roles;
        if (needed !== undefined && !roles.includes('system') && !needed.some((role) => roles.includes(role))) violated('G13', `${request.id}: action ${actionId} of ${ref}, which is for ${needed.join(', ')}, is decided by somebody with ${roles.length === 0 ? 'no role' : roles.join(', ')}`);
      }
    },
    toolBegan({ callKey, toolName, input }) {
      const id = approvalOf.get(callKey);
      if (id === undefined) return;
      const [asked, answer] = [opened.get(id), resolved.get(id)];
      if (answer?.resolution !== 'approved') return violated('G6', `call ${callKey} of ${toolName} runs, and its action ${id} is ${answer?.resolution ?? 'open'}`);
      const isExact = answer.input === undefined ? inputHashOf(input) === asked?.inputHash : canonicalJson(answer.input) === canonicalJson(input);
      if (!isExact) violated('G6', `call ${callKey} of ${toolName} runs with ${JSON.stringify(input)}, which is not what was approved`);
    },
  };
};
