import type { Agent } from '../agent/agent.ts';
import type { ToolNode } from '../agent/tool-node.ts';
import type { CallResult } from '../core/entry.ts';
import { refuse, RefusedError } from '../core/errors.ts';
import { wellFormedText } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { refuseNode } from '../core/node.ts';
import type { NodeMove } from '../core/node-entry.ts';
import type { Session } from '../core/session.ts';

export interface CallNodeOptions {
  readonly agent: Pick<Agent, 'rules'>;
  /** As of the step. */
  readonly session: Pick<Session, 'node'>;
  /** Why no transition can be taken; left out: one can. */
  readonly readOnly?: string;
}

/** The transition that a call takes is kept here until it ends; its result takes it along. */
export class CallNode implements ToolNode {
  readonly name: string | null;
  readonly #options: CallNodeOptions;
  #move: NodeMove | null = null;
  #sealed = false;

  constructor(options: CallNodeOptions) {
    this.#options = options;
    this.name = options.session.node;
  }

  enter(node: string, { reason }: { readonly reason?: string } = {}): void {
    const { agent, readOnly } = this.#options;
    if (readOnly !== undefined) throw new RefusedError(refuse('invalid_request', readOnly));
    if (this.#sealed) throw new RefusedError(refuse('invalid_request', 'the call has ended; a transition that it takes now leads nowhere'));
    const refused = refuseNode(agent.rules.nodes, this.name, node);
    if (refused !== null) throw new RefusedError(refused);
    const why = reason === undefined ? {} : { reason: wellFormedText(reason.slice(0, limits.nodeReasonCharsMax)) };
    this.#move = node === this.name ? null : { from: this.name, to: node, ...why };
  }

  /** The result with the transition that the call took, where it ended as `done`. What is asked for after that is refused. */
  seal(result: CallResult): CallResult {
    this.#sealed = true;
    return result.outcome !== 'done' || this.#move === null ? result : { ...result, nodeMove: this.#move };
  }
}
