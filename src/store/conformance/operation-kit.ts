import type { CallResult } from '../../core/entry.ts';
import { invariant } from '../../core/errors.ts';
import type { Operation, OperationMode } from '../../core/operation.ts';
import { allowCompletion, claimOperation, delegateOperation, settleOperation, type OperationLease, type OperationTransition } from '../../core/operation-transitions.ts';
import type { Session } from '../../core/session.ts';
import type { OperationKey, OperationUpdateRequest, OperationUpdateResult, Store } from '../store.ts';
import { callPart, doneResult, suiteRules, type InWork, type Kit, type NewSessionOptions } from './kit.ts';

/** A session that has started an operation, the only call of its step. */
export interface StartedOperation {
  readonly work: InWork;
  /** As it is after the step's commit. */
  readonly session: Session;
  readonly operation: Operation;
}

export interface StartOptions extends NewSessionOptions {
  readonly mode?: OperationMode;
  readonly key?: string;
  /** `look` may run again after its worker's death, `pay` may not. Default `look`. */
  readonly toolName?: string;
}

/** A worker that runs an operation. */
export interface RunningOperation {
  readonly operation: Operation;
  readonly lease: OperationLease;
}

/** An operation of a session in work: an awaited one leaves the turn waiting, a detached one leaves the worker with the next generation. */
export async function startOperation(kit: Kit, { mode = 'await', key, toolName = 'look', ...options }: StartOptions = {}): Promise<StartedOperation> {
  const work = await kit.inWork(options);
  const session = await kit.settle(work, [callPart(0, toolName, { operation: { mode, ...(key === undefined ? {} : { key }) } })], 'tool-calls');
  const [live] = session.operations;
  invariant(live !== undefined, 'the step starts an operation');
  return { work, session, operation: await operationOf(kit, { tenant: work.ref.tenant, id: live.id }) };
}

/** The operation as it is now. */
export async function operationOf(kit: Kit, { tenant, id }: OperationKey, store: Store = kit.store): Promise<Operation> {
  const operation = await store.readOperation({ tenant, id });
  invariant(operation !== null, `operation ${id} is found`);
  return operation;
}

/** Changes an operation; a refusal is returned. */
export function tryOperation<Reply>(kit: Kit, { tenant, id }: OperationKey, transition: OperationTransition<Reply>, reads: OperationUpdateRequest<Reply>['reads'] = {}, store: Store = kit.store): Promise<OperationUpdateResult<Reply>> {
  return store.updateOperation({ key: { tenant, id }, transition, reads });
}

export type CommittedOperation<Reply> = Extract<OperationUpdateResult<Reply>, { readonly kind: 'committed' }>;

/** Changes an operation, which must not be refused. */
export async function changeOperation<Reply>(kit: Kit, key: OperationKey, transition: OperationTransition<Reply>, reads: OperationUpdateRequest<Reply>['reads'] = {}): Promise<CommittedOperation<Reply>> {
  const result = await tryOperation(kit, key, transition, reads);
  invariant(result.kind === 'committed', `the change of an operation is committed, not ${result.kind === 'refused' ? result.refusal.message : ''}`);
  return result;
}

/** A worker's claim of an operation, as it is tried. */
export function tryClaim(kit: Kit, key: OperationKey, worker: string, dead: readonly string[] = [], store: Store = kit.store) {
  return tryOperation(kit, key, claimOperation(worker, (holder) => dead.includes(holder), suiteRules, kit.circumstances), { session: true }, store);
}

/** A worker takes an operation. */
export async function runOperation(kit: Kit, key: OperationKey, worker = 'wrk_o', dead: readonly string[] = []): Promise<RunningOperation> {
  const result = await tryClaim(kit, key, worker, dead);
  invariant(result.kind === 'committed' && result.reply.work !== 'none', 'the claim begins the operation');
  return { operation: result.operation, lease: { worker, fence: result.operation.fence } };
}

/** An operation that its worker has left to somebody outside. */
export async function externalOperation(kit: Kit, options: StartOptions = {}): Promise<StartedOperation> {
  const started = await startOperation(kit, options);
  const { lease } = await runOperation(kit, started.operation);
  await changeOperation(kit, started.operation, allowCompletion(lease, 'hash of a token', kit.nowMs));
  const { operation } = await changeOperation(kit, started.operation, delegateOperation(lease, kit.nowMs));
  return { ...started, operation };
}

/** The end of an operation that its worker runs. */
export function settling(kit: Kit, { operation, lease }: RunningOperation, result: CallResult = doneResult(operation.index, operation.toolName, 'indexed')): OperationTransition<null> {
  return settleOperation(lease, result, kit.circumstances);
}

/** A worker takes an operation and ends it. */
export async function finishOperation(kit: Kit, key: OperationKey, result?: CallResult): Promise<CommittedOperation<null>> {
  const running = await runOperation(kit, key);
  return changeOperation(kit, key, settling(kit, running, result), { session: true });
}
