import { existsSync } from 'node:fs';
import process from 'node:process';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { createHoldfast } from '../../create-holdfast.ts';
import { HoldfastError } from '../../core/errors.ts';
import { importLines } from '../../exchange/import-lines.ts';
import type { ImportSettings, LineOutcome } from '../../exchange/line-outcome.ts';
import { readLines } from '../../exchange/read-lines.ts';
import { entryProblem } from '../../server/entry-schema.ts';
import { realSystem } from '../../system.ts';
import { importFrom, sourceKinds, type ImportFromOptions } from './import-from.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { requireServer } from '../open-store.ts';
import { progressBar } from '../progress-bar.ts';
import { note, printJson, printLine, printable } from '../terminal.ts';

interface ImportOptions extends CommonOptions, Omit<ImportFromOptions, 'from' | 'store' | 'json'> {
  readonly from?: ImportFromOptions['from'];
  readonly format: 'auto' | 'openai' | 'ui';
  readonly newIds?: true;
  readonly strict?: true;
}

const manyLines = 200;

/** `holdfast import`: conversations of a file become sessions at rest, whole sessions are themselves again. */
export function importCommandOfCli(): Command {
  return storeCommand('import', 'import sessions: conversations in OpenAI chat format or as UIMessages, {id, messages} a line, and what "export --format session" wrote')
    .argument('[file]', 'the file, JSON lines')
    .option('--agent <name>', 'agent that conversations are with from now on; whole sessions keep theirs', agentName, 'demo')
    .option('--owner <owner>', 'owner of the conversations; whole sessions keep theirs', 'local')
    .addOption(new Option('--format <format>', 'what a line of messages is; auto: what its messages look like').choices(['auto', 'openai', 'ui']).default('auto'))
    .option('--new-ids', 'whole sessions get new ids, so that they can be beside those that they are copies of')
    .addOption(new Option('--from <system>', 'in place of a file: read the tables of the AI SDK chatbot template, or the checkpoints of LangGraph').choices(sourceKinds))
    .option('--source <url>', 'with --from: where they are, postgres://…, with ?schema=NAME (default: public), or sqlite:PATH; read-only')
    .option('--dry-run', 'with --from: say what would be imported, and write nothing')
    .option('--owner-column <name>', 'with --from: what names the owner; ai-chatbot: a column of "User" (default: id); langgraph: a field of the metadata (default: user_id)')
    .option('--channel <name>', 'with --from langgraph: the channel that holds the messages', 'messages')
    .option('--strict', 'stop at the first bad line (the lines before it stay imported)')
    .action(run);
}

async function run(file: string | undefined, { from, ...options }: ImportOptions): Promise<void> {
  if ((file === undefined) === (from === undefined)) throw new HoldfastError('options_invalid', 'say a file, or --from and --source: one of them');
  if (from !== undefined) return importFrom({ ...options, from });
  if (file !== undefined) await importFile(file, options);
}

async function importFile(file: string, { store, json, agent, owner, strict, newIds, format }: Omit<ImportOptions, 'from'>): Promise<void> {
  if (!existsSync(file)) throw new HoldfastError('file_not_found', `there is no file ${file}`);
  await requireServer(store);
  let lines = 0;
  for await (const { number } of readLines(file)) lines = number;
  const progress = progressBar('lines', lines, { shown: json !== true && lines >= manyLines });
  await using holdfast = await createHoldfast({ agents: [], store, worker: false });
  const settings: ImportSettings = { agent, owner, firstAtMs: Date.now() - lines - 1, ...(format === 'auto' ? {} : { conversations: format }), newIds };
  const host = { store: holdfast.store, system: realSystem(), tenant: 'default', checkEntry: entryProblem };
  const count = { imported: 0, existing: 0, bad: 0 };
  const startedAtMs = performance.now();
  try {
    for await (const outcome of importLines(readLines(file), { ...settings, strict }, host)) {
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

function sayOddities(outcome: LineOutcome): void {
  if (outcome.status === 'bad') note(`line ${outcome.line}: bad: ${printable(outcome.error)}`);
  for (const warning of outcome.warnings) note(`line ${outcome.line}: ${printable(warning)}`);
}

function agentName(name: string): string {
  if (!/^[\w.-]{1,64}$/.test(name)) throw new InvalidArgumentError('It may have letters, digits, _, - and ., at most 64.');
  return name;
}
