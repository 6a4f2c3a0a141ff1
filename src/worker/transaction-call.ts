import type { TransactionToolOptions } from '../agent/tool.ts';
import { failedCall } from '../core/call-result.ts';
import { Draft, type Transition } from '../core/draft.ts';
import type { CallResult } from '../core/entry.ts';
import { HoldfastError, refuse } from '../core/errors.ts';
import { wellFormedText } from '../core/json.ts';
import { limits } from '../core/limits.ts';
import { StoreError, type StoreTransaction } from '../store/store.ts';
import { runTool, type ToolRun } from './run-tool.ts';
import type { SessionRun, WorkerHost } from './session-run.ts';
import { keepWhole } from './whole-result.ts';

/** So often a call runs whose transaction lost against others; then it ends as failed. */
const triesMax = 5;
const pauseMsMax = 50;

/** How a call in a transaction ended. */
export type TransactionEnding =
  /** Its outcome is stored, and with it all that it wrote. */
  | { readonly kind: 'stored'; readonly result: CallResult }
  /** Nothing of it was kept; the result says why, and is to be recorded. */
  | { readonly kind: 'rolled-back'; readonly result: CallResult }
  /** Nothing of it was kept, and there is nothing to record: the run was aborted, or somebody else has the session. */
  | { readonly kind: 'gone'; readonly isFenceLost: boolean };

export interface TransactionCall {
  readonly stepSeq: number;
  readonly toolRun: Omit<ToolRun, 'keepWhole' | 'onLate' | 'onError'>;
}

/** Rejects the transaction's work, so that it is rolled back. */
class RolledBack extends HoldfastError {
  readonly ending: TransactionEnding;

  /** `thrown`: by the tool, where it did; the store looks whether it lost against another transaction. */
  constructor(ending: TransactionEnding, thrown?: unknown) {
    super('transaction_rolled_back', 'what the call wrote is not kept', { cause: thrown });
    this.ending = ending;
  }
}

/**
 * Runs a call of a tool with `transaction`: what it writes and its outcome are one commit, under the fence. It leaves no other trace, so no commit has to say that it begins, and whoever takes the session over
 * before that commit runs it again. Rejects only when nobody can say whether the commit landed, or the store is closed: then the session is given up, and whoever takes it next finds out.
 */
export async function runInTransaction(host: WorkerHost, run: SessionRun, call: TransactionCall): Promise<TransactionEnding> {
  const { signal } = run.abort;
  for (let tries = 1; ; tries += 1) {
    try {
      const work = (transaction: StoreTransaction): Promise<CallResult> => callWithin(host, run, call, transaction);
      return { kind: 'stored', result: await host.store.transaction(work, { waitMs: call.toolRun.timeoutMs, signal }) };
    } catch (error) {
      const ending = await endingOf(host, run, call, error);
      if (ending !== 'again') return ending;
      if (signal.aborted) return gone(false);
      if (tries >= triesMax) return rolledBack(call, `it lost against other transactions ${triesMax} times in a row; run it again later`);
    }
    const { clock, random } = host.system;
    await new Promise<void>((resolve) => clock.after(pauseMsMax * random.next(), resolve));
  }
}

/** What one try came to; `again`: nothing of it was kept, and it may go better the next time. */
async function endingOf(host: WorkerHost, run: SessionRun, call: TransactionCall, error: unknown): Promise<TransactionEnding | 'again'> {
  if (error instanceof RolledBack) return error.ending;
  if (run.abort.signal.aborted) return gone(false);
  const code = error instanceof StoreError ? error.code : null;
  if (code === 'transaction_conflict') return 'again';
  if (code === 'store_closed') throw error;
  if (code !== 'commit_unknown') return rolledBack(call, error instanceof Error ? error.message : String(error));
  const stored = await readOutcome(host, run, call);
  if (stored === 'fence-lost') return gone(true);
  return stored === null ? 'again' : { kind: 'stored', result: stored };
}

/** The work of the transaction. Whatever is not a stored result rejects. */
async function callWithin(host: WorkerHost, run: SessionRun, { stepSeq, toolRun }: TransactionCall, transaction: StoreTransaction): Promise<CallResult> {
  const { ref, lease, abort: { signal } } = run;
  let thrown: unknown;
  const options: Omit<TransactionToolOptions, 'abortSignal'> = { ...toolRun.options, transaction: transaction as unknown as TransactionToolOptions['transaction'] };
  const result = await orAborted(signal, runTool({
    ...toolRun, options,
    keepWhole: (text) => keepWhole(host, ref, text, transaction),
    onError: (error) => { thrown = error; },
  }));
  if (result.outcome !== 'done') throw new RolledBack({ kind: 'rolled-back', result }, thrown);
  // From here on the session's row is locked, and whoever stops it or takes it over waits, and then finds the outcome.
  if (await host.store.storeOutcomeIfHeld({ ref, fence: lease.fence, stepSeq, result, transaction }) === 'fence-lost') throw new RolledBack(gone(true));
  return result;
}

/** A run that is aborted does not wait for a tool that does not hear of it: it holds locks. */
async function orAborted(signal: AbortSignal, result: Promise<CallResult>): Promise<CallResult> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(new RolledBack(gone(false)));
  if (signal.aborted) abort();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([aborted.promise, result]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** The stored outcome, after a commit of which nobody knows whether it landed. `chunks` are asked for because they are read under the session's lock, which waits for a commit that is still on its way. */
async function readOutcome(host: WorkerHost, { ref, lease }: SessionRun, { stepSeq, toolRun }: TransactionCall): Promise<CallResult | null | 'fence-lost'> {
  const transition: Transition<CallResult | null> = ({ session, outcomes }) => {
    if (session.fence !== lease.fence || session.turn?.lastStep?.seq !== stepSeq) return refuse('fence_lost', 'somebody else has the session');
    return new Draft(session, session.updatedAtMs).done(outcomes.find(({ index }) => index === toolRun.call.index) ?? null);
  };
  const read = await host.store.update({ key: ref, reads: { chunks: true, outcomes: true }, transition });
  return read.kind === 'committed' ? read.reply : 'fence-lost';
}

function gone(isFenceLost: boolean): TransactionEnding {
  return { kind: 'gone', isFenceLost };
}

function rolledBack({ toolRun: { call } }: TransactionCall, why: string): TransactionEnding {
  const errorText = wellFormedText(`the transaction of ${call.toolName} was not committed, and nothing of it was kept: ${why}`.slice(0, limits.errorTextCharsMax));
  return { kind: 'rolled-back', result: failedCall(call, 'transaction_failed', errorText) };
}
