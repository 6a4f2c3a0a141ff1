import process from 'node:process';
import type { Command } from 'commander';
import { storeCommand, type CommonOptions } from '../command-options.ts';
import { examineStore } from '../examine-store.ts';
import { progressBar, type Progress } from '../progress-bar.ts';
import { printable, printJson, printLine } from '../terminal.ts';

const manySessions = 200;

/** `holdfast doctor`: looks for what is not as it must be; changes nothing. */
export function doctorCommand(): Command {
  return storeCommand('doctor', 'look for what is wrong: Node, the store, its workers, every session against its log').action(async ({ store, json }: CommonOptions) => {
    let progress: Progress | null = null;
    const examination = await examineStore(store, {
      onSessions: (total) => {
        progress = progressBar('sessions', total, { shown: json !== true && total >= manySessions });
      },
      onSession: () => progress?.advance(),
    });
    (progress as Progress | null)?.stop();
    const { checks, findings, warnings } = examination;
    if (json === true) {
      await printJson({ ok: findings.length === 0, ...examination });
    } else {
      for (const { name, ok, warns, detail } of checks) await printLine(`${ok ? (warns ? '?? ' : 'ok ') : 'BAD'}  ${name.padEnd(10)}  ${printable(detail)}`);
      for (const { code, message } of warnings) await printLine(`warning: ${code}: ${printable(message)}`);
      for (const { code, message, sessionId } of findings) await printLine(`${code}: ${sessionId === undefined ? '' : `${sessionId}: `}${printable(message)}`);
      if (findings.length === 0) await printLine(warnings.length === 0 ? 'nothing is wrong' : `nothing is broken; ${warnings.length === 1 ? 'see the warning' : `see the ${warnings.length} warnings`} above`);
    }
    if (findings.length > 0) process.exitCode = 1;
  });
}
