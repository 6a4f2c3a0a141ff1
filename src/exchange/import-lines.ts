import { importConversation } from './import-conversation.ts';
import { importWholeSession } from './import-session.ts';
import { badLine, type ImportHost, type ImportSettings, type LineOutcome } from './line-outcome.ts';
import { lineUnits, type LineUnit } from './line-units.ts';
import type { InputLine } from './read-lines.ts';
import { importStateLine } from './state-lines.ts';

/** Units in work at a time, which share their commits' syncs; and how much text they may be in all. */
const unitsAtOnce = 64;
const charsAtOnce = 16_000_000;

/**
 * Imports lines of all kinds: whole sessions, state, conversations. Yields what became of each in the order of the file. With `strict`, a bad line is the last one, and none after it is imported. Importing the same lines again is
 * harmless. Rejects with `StoreError`: what was yielded before is imported.
 */
export async function* importLines(lines: AsyncIterable<InputLine>, settings: ImportSettings & { readonly strict?: boolean | undefined }, host: ImportHost): AsyncGenerator<LineOutcome, void, void> {
  const strict = settings.strict === true;
  let batch: LineUnit[] = [];
  let chars = 0;
  const work = async (): Promise<readonly LineOutcome[]> => {
    const units = batch;
    batch = [];
    chars = 0;
    return Promise.all(units.map((unit) => importUnit(unit, settings, host)));
  };
  for await (const unit of lineUnits(lines, host.checkEntry)) {
    // Lines of state follow each other, for those of one scope do.
    if (unit.kind === 'state' && batch.length > 0) yield* await work();
    batch.push(unit);
    chars += unit.chars;
    if (!strict && unit.kind !== 'state' && batch.length < unitsAtOnce && chars < charsAtOnce) continue;
    for (const outcome of await work()) {
      yield outcome;
      if (strict && outcome.status === 'bad') return;
    }
  }
  yield* await work();
}

async function importUnit(unit: LineUnit, settings: ImportSettings, host: ImportHost): Promise<LineOutcome> {
  switch (unit.kind) {
    case 'bad':
      return badLine(unit.line, unit.error);
    case 'conversation':
      return importConversation(unit.line, unit.parsed, settings, host);
    case 'session':
      return importWholeSession(unit.line, unit.session, settings, host);
    case 'state':
      return importStateLine(unit.line, unit.value, host);
  }
}
