import { existsSync } from 'node:fs';
import process from 'node:process';
import { InvalidArgumentError, type Command } from 'commander';
import { createHoldfast } from '../../create-holdfast.ts';
import { HoldfastError } from '../../core/errors.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { requireServer } from '../open-store.ts';
import { importLine, type ImportSettings, type LineOutcome } from '../import-conversations.ts';
import { progressBar } from '../progress-bar.ts';
import { readLines, type InputLine } from '../read-lines.ts';
import { note, printJson, printLine, printable } from '../terminal.ts';

interface ImportOptions extends CommonOptions {
  readonly agent: string;
  readonly owner: string;
  readonly strict?: true;
}

/** Lines in work at a time: they share their commits' syncs. */
const linesAtOnce = 64;
const manyLines = 200;

/** `holdfast import`: conversations of a file become sessions at rest. */
export function importCommandOfCli(): Command {
  return storeCommand('import', 'import conversations in OpenAI chat format, one {id, messages} a line')
    .argument('<file>', 'the file, JSON lines')
    .option('--agent <name>', 'agent that the sessions are with from now on', agentName, 'demo')
    .option('--owner <owner>', 'owner of the sessions', 'local')
    .option('--strict', 'stop at the first bad line (the lines before it stay imported)')
    .action(run);
}

async function run(file: string, { store, json, agent, owner, strict }: ImportOptions): Promise<void> {
  if (!existsSync(file)) throw new HoldfastError('file_not_found', `there is no file ${file}`);
  await requireServer(store);
  let lines = 0;
  for await (const { number } of readLines(file)) lines = number;
  const progress = progressBar('conversations', lines, { shown: json !== true && lines >= manyLines });
  await using holdfast = await createHoldfast({ agents: [], store, worker: false });
  const settings: ImportSettings = { store: holdfast.store, agent, owner, firstAtMs: Date.now() - lines - 1 };
  const count = { imported: 0, existing: 0, bad: 0 };
  const startedAtMs = performance.now();
  try {
    for await (const outcome of importLines(file, settings, strict === true)) {
      progress.advance();
      count[outcome.status === 'exists' ? 'existing' : outcome.status] += 1;
      if (json === true) await printJson(outcome);
      else sayOddities(outcome);
    }
  } finally {
    progress.stop();
  }
  const seconds = Math.round(performance.now() - startedAtMs) / 1_000;
  if (json === true) await printJson({ ...count, seconds });
  else await printLine(`${count.imported} imported, ${count.existing} there already, ${count.bad} bad (${seconds} s)`);
  if (count.bad > 0) process.exitCode = 1;
}

/** The lines' outcomes in the order of the file. With `strict`, a bad line is the last one, and none after it is imported. */
async function* importLines(file: string, settings: ImportSettings, strict: boolean): AsyncGenerator<LineOutcome, void, void> {
  const most = strict ? 1 : linesAtOnce;
  let batch: InputLine[] = [];
  const work = (): Promise<readonly LineOutcome[]> => {
    const lines = batch;
    batch = [];
    return Promise.all(lines.map((line) => importLine(line, settings)));
  };
  for await (const line of readLines(file)) {
    batch.push(line);
    if (batch.length < most) continue;
    for (const outcome of await work()) {
      yield outcome;
      if (strict && outcome.status === 'bad') return;
    }
  }
  yield* await work();
}

function sayOddities(outcome: LineOutcome): void {
  if (outcome.status === 'bad') note(`line ${outcome.line}: bad: ${printable(outcome.error)}`);
  for (const warning of outcome.warnings) note(`line ${outcome.line}: ${printable(warning)}`);
}

function agentName(name: string): string {
  if (!/^[\w.-]{1,64}$/.test(name)) throw new InvalidArgumentError('It may have letters, digits, _, - and ., at most 64.');
  return name;
}
