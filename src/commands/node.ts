import { acceptEnterNode, type EnterNodeReply } from '../core/accept/node.ts';
import { refuse, type Refusal } from '../core/errors.ts';
import { ownerScope, type CommandHost, type CommandOptions, type CommandReply } from './command-host.ts';
import { asJson, compact, enterNodeInput, parseInput, type EnterNodeInput } from './input.ts';
import { runCommand } from './run-command.ts';

/**
 * Enters a node of the conversation from outside. Refusals: `invalid_request`, `session_not_found`, `session_ended`, `session_archived`, `agent_not_found` (this process does not define it), `nodes_not_used`, `node_unknown`, `node_not_allowed` (no transition
 * leads there; with `force` whoever has the role `system` enters it all the same), `revision_conflict`, `idempotency_mismatch`. Entering the present node changes nothing.
 */
export async function enterNode(host: CommandHost, sessionId: string, body: EnterNodeInput, options: CommandOptions): Promise<CommandReply<EnterNodeReply> | Refusal> {
  const parsed = parseInput(enterNodeInput, body);
  if ('refused' in parsed) return parsed;
  if (parsed.input.force === true && ownerScope(options.principal) !== undefined) return refuse('node_not_allowed', 'only the role system may enter a node by force', { node: parsed.input.node });
  return runCommand<EnterNodeReply>(host, {
    name: 'node', sessionId, body: asJson(body), httpStatus: 200, reads: { marks: true },
    accept: (draft, now, loaded) => {
      const agent = host.agents.get(draft.session.agent);
      if (agent === undefined) return refuse('agent_not_found', `the agent ${draft.session.agent} is not defined here, so its nodes are not known`, { agent: draft.session.agent });
      return acceptEnterNode(compact(parsed.input) as Parameters<typeof acceptEnterNode>[0], agent.rules.nodes)(draft, now, loaded);
    },
  }, options);
}
