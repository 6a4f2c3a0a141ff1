import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { problemCodes, problemPage, problemTable } from '../../src/server/problem-table.ts';

const root = path.join(import.meta.dirname, '..', '..');
const pages = path.join(root, 'docs', 'errors');

/** The codes as the type names them, read from its source: a type is not there at run time. */
function refusalCodes(): readonly string[] {
  const source = readFileSync(path.join(root, 'src', 'core', 'errors.ts'), 'utf8');
  const [, union = ''] = /export type RefusalCode =([^;]+);/.exec(source) ?? [];
  return [...union.matchAll(/'(\w+)'/g)].map(([, code = '']) => code);
}

describe('the problem table', () => {
  it('has every code by which a request can be refused, and the two that are no refusals', () => {
    expect(refusalCodes().length).toBeGreaterThan(20);
    expect([...problemCodes].sort()).toEqual([...refusalCodes(), 'store_unavailable', 'internal_error'].sort());
  });

  it('has a page in docs/errors for every code, and no page has no code', () => {
    expect(readdirSync(pages).sort()).toEqual(problemCodes.map((code) => `${code}.md`).sort());
  });

  it.each(problemCodes)('says of %s what the page in docs/errors says', async (code) => {
    // `vitest run -u` writes the pages anew after a change of the table.
    await expect(problemPage(code)).toMatchFileSnapshot(path.join(pages, `${code}.md`));
  });

  it('maps codes to the status that clients expect of them', () => {
    const statuses = Object.fromEntries([...Map.groupBy(problemCodes, (code) => problemTable[code].httpStatus)].map(([status, codes]) => [status, codes.toSorted()]));
    expect(statuses).toEqual({
      400: ['bad_position', 'invalid_request', 'model_not_allowed', 'state_identity_missing', 'state_key_invalid', 'state_not_json', 'state_scope_unknown'],
      401: ['unauthenticated'],
      403: ['action_forbidden', 'forbidden_origin', 'state_disabled', 'state_scope_off'],
      404: ['action_not_found', 'agent_not_found', 'branch_not_found', 'call_not_found', 'message_not_found', 'node_unknown', 'not_found', 'operation_not_found', 'session_not_found', 'state_not_found', 'turn_not_found'],
      405: ['method_not_allowed'],
      409: [
        'action_decided', 'action_mismatch', 'action_withdrawn', 'client_tool_taken', 'external_id_taken', 'fence_lost', 'message_id_taken', 'node_not_allowed', 'nodes_not_used', 'not_claimable', 'nothing_to_compact', 'revision_conflict',
        'session_archived', 'session_busy', 'session_ended', 'simulator_off', 'state_version_conflict',
      ],
      410: ['action_expired'],
      413: ['body_too_large', 'history_too_large', 'state_too_large'],
      415: ['unsupported_media_type'],
      422: ['idempotency_mismatch'],
      429: ['branches_full', 'queue_full', 'state_quota', 'too_many_streams'],
      500: ['internal_error'],
      503: ['shutting_down', 'store_unavailable'],
    });
  });

  it('has no text twice, and none that is empty', () => {
    for (const field of ['title', 'meaning'] as const) expect(new Set(problemCodes.map((code) => problemTable[code][field])).size).toBe(problemCodes.length);
    for (const code of problemCodes) expect(Object.values(problemTable[code]).every((text) => text !== '')).toBe(true);
  });
});
