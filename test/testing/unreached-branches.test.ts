import { describe, expect, it } from 'vitest';
import { reportOf } from '../../scripts/simulation-coverage/describe-coverage.ts';
import { Reasons } from '../../scripts/simulation-coverage/reasons.ts';
import { FileCoverage, type V8Script } from '../../scripts/simulation-coverage/v8-coverage.ts';

const text = `export function pay(amount) {
  if (amount > 9) {
    throw new Error('too much');
  }
  const label = amount === 0 ? 'free' : 'paid';
  return [amount].map((each) => label + each);
}

function never() {
  return (() => 1)();
}
`;

/** A range from the first to the last of these characters. */
function range(from: string, to: string, count: number, start = 0) {
  const startOffset = text.indexOf(from, start);
  return { startOffset, endOffset: text.indexOf(to, startOffset) + to.length, count };
}

const whole = { startOffset: 0, endOffset: text.length, count: 1 };
const pay = (count: number) => ({ startOffset: text.indexOf('export'), endOffset: text.indexOf('\n\nfunction'), count });
const never = { ranges: [{ startOffset: text.indexOf('function never'), endOffset: text.length - 1, count: 0 }] };
const each = (count: number) => ({ ranges: [range('(each)', '+ each', count)] });
const tooMuch = (count: number) => range('{\n    throw', '\n  }', count);
const rest = (count: number) => ({ startOffset: tooMuch(0).endOffset, endOffset: pay(0).endOffset, count });
const free = (count: number) => range('? \'free\'', '\'free\'', count);
const paid = (count: number) => range(': \'paid\'', '\'paid\'', count);

/** What V8 would say of a thread that called `pay` with these. */
const calledWith5: V8Script['functions'] = [{ ranges: [whole] }, { ranges: [pay(1), tooMuch(0), free(0)] }, each(1), never];
const calledWith0: V8Script['functions'] = [{ ranges: [whole] }, { ranges: [pay(1), tooMuch(0), paid(0)] }, each(1), never];
const calledWith10: V8Script['functions'] = [{ ranges: [whole] }, { ranges: [pay(1), rest(0)] }, each(0), never];
const notCalled: V8Script['functions'] = [{ ranges: [whole] }, { ranges: [pay(0)] }, never];

function covered(...reports: readonly V8Script['functions'][]): FileCoverage {
  const coverage = new FileCoverage(text);
  for (const functions of reports) coverage.add({ functions });
  return coverage;
}

function unreached(...reports: readonly V8Script['functions'][]): readonly string[] {
  return covered(...reports).unreached().map(({ line, code }) => `${line}: ${code}`);
}

const neverIs = '9: «function never() { return (() => 1)(); }»';

describe('what is never reached', () => {
  it('is what no report has reached', () => {
    expect(unreached(calledWith5)).toEqual(['2: if (amount > 9) «{ throw new Error(\'too much\'); }»', '5: const label = amount === 0 «? \'free\'»', neverIs]);
    expect(unreached(calledWith5, calledWith0)).toEqual(['2: if (amount > 9) «{ throw new Error(\'too much\'); }»', neverIs]);
    expect(unreached(calledWith0, calledWith10, calledWith5)).toEqual([neverIs]);
  });

  it('does not grow with a report in which nothing ran, before or after', () => {
    expect(unreached(notCalled, calledWith5)).toEqual(unreached(calledWith5));
    expect(unreached(calledWith5, notCalled)).toEqual(unreached(calledWith5));
  });

  it('is not hidden by a block that another report does not tell apart, or by what is in it', () => {
    expect(unreached(calledWith10)).toEqual([expect.stringMatching(/^5: «const label = .*label \+ each/), neverIs]);
    expect(covered(calledWith10, calledWith5).branches).toEqual({ reached: 2, all: 3 });
    expect(covered(calledWith10).functions).toEqual({ reached: 2, all: 4 });
  });

  it('is everything of a file that nothing has loaded', () => {
    expect(unreached()).toEqual([expect.stringMatching(/^1: «export function pay/)]);
  });
});

describe('reasons', () => {
  const code = 'if (amount > 9) «{ throw new Error(\'too much\'); }»';
  const given = `# nobody pays that much\nsrc/core/pay.ts\n  ${code}\n\n# it is never called\nsrc/core/pay.ts\n  «function never() { return (() => 1)(); }»\n`;

  it('are found by file and text, and missed where there is none', () => {
    const { unreached: found, rooms } = reportOf(new Map([['src/core/pay.ts', covered(calledWith5)]]), new Reasons(given));
    expect(found.map(({ why }) => why)).toEqual(['nobody pays that much', null, 'it is never called']);
    expect(rooms).toEqual([{ room: 'src/core', functions: { reached: 3, all: 4 }, branches: { reached: 0, all: 2 } }]);
  });

  it('are stale once the branch is reached, and not where its file was not looked at', () => {
    const reachedAll = new Map([['src/core/pay.ts', covered(calledWith10, calledWith5, calledWith0)]]);
    expect(reportOf(reachedAll, new Reasons(given)).stale).toEqual([`src/core/pay.ts: ${code}`]);
    expect(reportOf(new Map(), new Reasons(given)).stale).toEqual([]);
  });

  it('can be for every branch of a file, and for what stands in many files', () => {
    const whys = (given: string) => reportOf(new Map([['src/core/pay.ts', covered(calledWith5)]]), new Reasons(given)).unreached.map(({ why }) => why);
    expect(whys('# not here\nsrc/core/pay.ts\n  *')).toEqual(['not here', 'not here', 'not here']);
    expect(whys('# all is paid\n*\n  «? \'free\'»')).toEqual([null, 'all is paid', null]);
    expect(reportOf(new Map(), new Reasons('# why\n*\n  «gone»')).stale).toEqual(['*: «gone»']);
  });

  it('are refused where they are for nothing, or two', () => {
    expect(() => new Reasons('  code')).toThrow(SyntaxError);
    expect(() => new Reasons('# why\n  code')).toThrow(/has no reason or no file/);
    expect(() => new Reasons('# why\na.ts\n  code\n# because\na.ts\n  code')).toThrow(/a.ts: code has two reasons/);
  });
});
