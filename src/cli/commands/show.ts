import type { Command } from 'commander';
import type { Entry } from '../../core/entry.ts';
import { statusOf } from '../../core/session.ts';
import { foldTranscript, type TranscriptMessage, type TranscriptPart, type TranscriptToolPart } from '../../core/transcript.ts';
import { sessionView } from '../../feed/session-view.ts';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { compactionLine, resultLine } from '../event-lines.ts';
import { openExistingStore } from '../open-store.ts';
import { findSession, readWholeLog } from '../session-reader.ts';
import { forStdout, oneLine, printJson, printLine } from '../terminal.ts';

/** `holdfast show`: a session's conversation, or its log. */
export function showCommand(): Command {
  return storeCommand('show', "show a session's conversation")
    .argument('<session>', 'id or external id of the session')
    .option('--entries', 'show the log, entry by entry')
    .action(async (id: string, { store, json, entries: showsLog }: CommonOptions & { readonly entries?: true }) => {
      await using holdfast = await openExistingStore(store);
      const session = await findSession(holdfast, id);
      const entries = await readWholeLog(holdfast.store, session);
      if (showsLog === true) {
        for (const entry of entries) await (json === true ? printJson(entry) : printLine(entryLine(entry)));
        return;
      }
      const messages = foldTranscript(entries, session.visible);
      if (json === true) {
        await printJson({ session: sessionView(session), messages });
        return;
      }
      await printLine(`${session.id}  ${statusOf(session)}  agent ${session.agent}  owner ${oneLine(session.owner, 60)}${session.node === null ? '' : `  node ${session.node}`}${session.title === null ? '' : `  "${oneLine(session.title, 80)}"`}`);
      if (session.summary !== null) await printLine(`(${oneLine(session.summary.text, 200)})`);
      for (const message of messages) await printLine(forStdout(messageBlock(message, session.agent)));
    });
}

function entryLine({ seq, kind, atMs, v: _version, ...body }: Entry): string {
  return `${String(seq).padStart(5)}  ${new Date(atMs).toISOString()}  ${kind.padEnd(18)}  ${oneLine(JSON.stringify(body), 160)}`;
}

function messageBlock({ role, parts, metadata }: TranscriptMessage, agent: string): string {
  const head = `\n${role === 'user' ? 'you' : agent}  ${new Date(metadata.atMs).toISOString()}`;
  const lines = parts.flatMap(partLines);
  const failure = metadata.error === undefined ? [] : [`(failed: ${oneLine(metadata.error.message, 200)} (${metadata.error.code}))`];
  const end = metadata.end === undefined || metadata.end === 'complete' || metadata.end === 'failed' ? [] : [`(${metadata.end})`];
  return [head, ...lines, ...failure, ...end].join('\n');
}

function partLines(part: TranscriptPart): readonly string[] {
  switch (part.type) {
    case 'step-start':
      return [];
    case 'text':
      return [part.text];
    case 'reasoning':
      return [`(thinks) ${oneLine(part.text, 200)}`];
    case 'file':
      return [`[file ${part.filename ?? part.mediaType}]`];
    case 'source-url':
      return [`[source ${part.url}]`];
    case 'source-document':
      return [`[source ${part.title}]`];
    case 'data-node':
      return [`(in ${part.data.node}${part.data.from === null ? '' : `, from ${part.data.from}`})`];
    case 'data-compaction':
      return [compactionLine(part.data)];
    default:
      return callLines(part);
  }
}

function callLines({ type, input, state, output, errorText, outcome, approval, action, operation, lateResult }: TranscriptToolPart): readonly string[] {
  const lines = [`→ ${type.slice('tool-'.length)} ${oneLine(JSON.stringify(input ?? null), 200)}`];
  if (action !== undefined) lines.push(`(waits: ${action.type} ${action.id})`);
  else if (state === 'approval-responded') lines.push(`(${approval?.approved === true ? 'approved' : 'denied'})`);
  else if (state === 'output-available') lines.push(`← ${oneLine(typeof output === 'string' ? output : JSON.stringify(output ?? null), 200)}`);
  else if (state === 'output-error') lines.push(`← ${outcome ?? 'failed'}: ${oneLine(errorText ?? '', 200)}`);
  else if (state === 'output-denied') lines.push(`← denied${approval?.reason === undefined ? '' : `: ${oneLine(approval.reason, 200)}`}`);
  if (operation !== undefined) lines.push(`(operation ${operation.id} ${operation.status})`);
  if (operation?.result !== undefined) lines.push(resultLine(operation.result));
  if (lateResult !== undefined) lines.push(`${resultLine(lateResult)} (came after all)`);
  return lines;
}
