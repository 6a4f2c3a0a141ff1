import { parseSync } from 'vite';

/** What the architecture rules need to know about one source file. Lines count from 1. */
export interface SourceFacts {
  readonly lineCount: number;
  readonly syntaxErrors: readonly string[];
  readonly imports: readonly ImportFact[];
  readonly ambients: readonly AmbientFact[];
  readonly functions: readonly FunctionFact[];
  readonly emptyCatchLines: readonly number[];
  /** Lines of top-level statements that are not `export … from`. */
  readonly ownStatementLines: readonly number[];
}

export interface ImportFact {
  readonly line: number;
  readonly specifier: string;
  /** Nothing of it is left at run time. */
  readonly typeOnly: boolean;
}

export interface AmbientFact {
  readonly line: number;
  /** As it is written: `Date.now`, `new Date()`, `setTimeout`, `process` … */
  readonly what: string;
}

export interface FunctionFact {
  readonly line: number;
  readonly name: string;
  readonly lineCount: number;
}

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

/** Objects of the platform, and the members of them that are ambient; the objects alone matter to the core only. */
const ambientMembers: Readonly<Record<string, readonly string[]>> = {
  Date: ['now'],
  Math: ['random'],
  performance: ['now', 'timeOrigin'],
  process: ['hrtime', 'uptime'],
  crypto: ['randomUUID', 'randomBytes', 'randomInt', 'getRandomValues'],
  AbortSignal: ['timeout'],
};
const timers = ['setTimeout', 'setInterval', 'setImmediate'];
/** Alone, without a member, these are facts as well: the core may not name them at all. */
const globals = ['process', 'globalThis', 'crypto', 'performance', 'console', 'fetch', 'Buffer'];
/** The same things, imported. `*` stands for whatever is imported. */
const ambientImports: Readonly<Record<string, readonly string[]>> = {
  timers: ['*'],
  'timers/promises': ['*'],
  perf_hooks: ['performance'],
  crypto: ['randomUUID', 'randomBytes', 'randomInt', 'getRandomValues', 'webcrypto'],
};

/** Parses one TypeScript file. A file that does not parse has its errors and nothing else. */
export function factsOf(file: string, text: string): SourceFacts {
  const { program, errors } = parseSync(file, text);
  return new Scan(text).run(
    program as unknown as Node,
    errors.map((error) => error.message),
  );
}

class Scan {
  readonly #lineStarts: number[] = [0];
  readonly #lineCount: number;
  readonly #bound = new Set<string>();
  readonly #imports: ImportFact[] = [];
  readonly #ambients: AmbientFact[] = [];
  readonly #functions: FunctionFact[] = [];
  readonly #emptyCatchLines: number[] = [];

  constructor(text: string) {
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) this.#lineStarts.push(at + 1);
    this.#lineCount = text.endsWith('\n') ? this.#lineStarts.length - 1 : this.#lineStarts.length;
  }

  run(program: Node, syntaxErrors: readonly string[]): SourceFacts {
    this.#bind(program);
    this.#visit(program, undefined, '');
    return {
      lineCount: this.#lineCount,
      syntaxErrors,
      imports: this.#imports,
      ambients: this.#ambients,
      functions: this.#functions,
      emptyCatchLines: this.#emptyCatchLines,
      ownStatementLines: children(program)
        .filter((statement) => statement.type !== 'ExportAllDeclaration' && !isNode(statement['source']))
        .map((statement) => this.#line(statement)),
    };
  }

  /** Collects the names that the file binds itself: a parameter called `setTimeout` is not the global one. */
  #bind(node: Node): void {
    if (node.type === 'ImportDeclaration') return; // an imported platform object is as ambient as the global one
    if (node.type === 'VariableDeclarator' || isFunction(node) || node.type.startsWith('Class')) {
      this.#bindPattern(node['id']);
    }
    if (node.type === 'CatchClause') this.#bindPattern(node['param']);
    if (isFunction(node) && Array.isArray(node['params'])) node['params'].forEach((each) => this.#bindPattern(each));
    for (const child of children(node)) this.#bind(child);
  }

  #bindPattern(pattern: unknown): void {
    if (!isNode(pattern)) return;
    if (pattern.type === 'Identifier') this.#bound.add(nameOf(pattern));
    else if (pattern.type === 'AssignmentPattern') this.#bindPattern(pattern['left']);
    else if (pattern.type === 'RestElement') this.#bindPattern(pattern['argument']);
    else if (pattern.type === 'Property') this.#bindPattern(pattern['value']);
    else if (pattern.type === 'ObjectPattern' || pattern.type === 'ArrayPattern') {
      for (const child of children(pattern)) this.#bindPattern(child);
    }
  }

  /** `hint` is the name that the surrounding code gives to a function without one of its own. */
  #visit(node: Node, parent: Node | undefined, hint: string): void {
    this.#noteImport(node);
    this.#noteEmptyCatch(node);
    if (isFunction(node) && isNode(node['body'])) {
      const name = isNode(node['id']) ? nameOf(node['id']) : hint || '(anonymous)';
      this.#functions.push({ line: this.#line(node), name, lineCount: this.#span(node) });
    }
    if (isTypeSyntax(node)) {
      for (const child of children(node)) this.#visitType(child);
      return;
    }
    if (this.#noteAmbient(node, parent)) return;
    const name = nameOfBound(node) ?? (isFunction(node) ? '' : hint);
    for (const child of children(node)) this.#visit(child, node, name);
  }

  /** Inside a type nothing is ambient, but `import('…')` is still an import. */
  #visitType(node: Node): void {
    this.#noteImport(node);
    for (const child of children(node)) this.#visitType(child);
  }

  #noteImport(node: Node): void {
    const source = node['source'];
    if (!isNode(source) || typeof source['value'] !== 'string') return;
    const specifier = source['value'];
    const names = Array.isArray(node['specifiers']) ? node['specifiers'].filter(isNode) : [];
    const wholeIsType = node['importKind'] === 'type' || node['exportKind'] === 'type' || node.type === 'TSImportType';
    const isType = (each: Node): boolean => each['importKind'] === 'type' || each['exportKind'] === 'type';
    const typeOnly = wholeIsType || (names.length > 0 && names.every(isType));
    this.#imports.push({ line: this.#line(node), specifier, typeOnly });

    const ambient = ambientImports[specifier.replace(/^node:/, '')];
    if (ambient === undefined || wholeIsType) return;
    for (const each of names.filter((name) => !isType(name))) {
      const name = isNode(each['imported']) ? nameOf(each['imported']) : '*';
      if (ambient.includes('*') || ambient.includes(name)) {
        this.#ambients.push({ line: this.#line(each), what: name === '*' ? specifier : name });
      }
    }
  }

  #noteEmptyCatch(node: Node): void {
    const handler = node.type === 'CatchClause' ? node : promiseHandler(node);
    const body = handler?.['body'];
    if (isNode(body) && body.type === 'BlockStatement' && children(body).length === 0) {
      this.#emptyCatchLines.push(this.#line(node));
    }
  }

  /** True where the node is an ambient thing as a whole, so that its parts are not looked at again. */
  #noteAmbient(node: Node, parent: Node | undefined): boolean {
    const what = this.#ambientMember(node) ?? this.#ambientDate(node) ?? this.#ambientName(node, parent);
    if (what === undefined) return false;
    this.#ambients.push({ line: this.#line(node), what });
    // The arguments of `new Date(…)` may hold more of them.
    return node.type === 'MemberExpression' || node.type === 'Identifier';
  }

  #ambientMember(node: Node): string | undefined {
    const { object, property } = node;
    if (node.type !== 'MemberExpression' || !isNode(object) || !isNode(property)) return undefined;
    const member = node['computed'] === true ? literalText(property) : nameOf(property);
    if (member === undefined) return undefined;
    if (member === 'randomUUID') return 'crypto.randomUUID'; // whatever the module object is called
    const owner = this.#globalName(object);
    if (owner === 'globalThis' && timers.includes(member)) return `globalThis.${member}`;
    return owner !== undefined && ambientMembers[owner]?.includes(member) ? `${owner}.${member}` : undefined;
  }

  #ambientDate(node: Node): string | undefined {
    const callee = node['callee'];
    if (!isNode(callee) || this.#globalName(callee) !== 'Date') return undefined;
    if (node.type === 'CallExpression') return 'Date()';
    if (node.type !== 'NewExpression') return undefined;
    return Array.isArray(node['arguments']) && node['arguments'].length > 0 ? 'new Date(value)' : 'new Date()';
  }

  #ambientName(node: Node, parent: Node | undefined): string | undefined {
    if (node.type !== 'Identifier' || !isReference(node, parent)) return undefined;
    const name = this.#globalName(node);
    return name !== undefined && (timers.includes(name) || globals.includes(name)) ? name : undefined;
  }

  /** `Date` for `Date` and for `globalThis.Date`, where the file does not bind that name itself. */
  #globalName(node: Node): string | undefined {
    if (node.type === 'Identifier') return this.#bound.has(nameOf(node)) ? undefined : nameOf(node);
    const { object, property } = node;
    if (node.type !== 'MemberExpression' || !isNode(object) || !isNode(property)) return undefined;
    return object.type === 'Identifier' && nameOf(object) === 'globalThis' ? nameOf(property) : undefined;
  }

  #line(node: Node): number {
    return this.#lineAt(node.start);
  }

  #span(node: Node): number {
    return this.#lineAt(node.end) - this.#lineAt(node.start) + 1;
  }

  #lineAt(offset: number): number {
    const next = this.#lineStarts.findIndex((start) => start > offset);
    return next === -1 ? this.#lineStarts.length : next;
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string';
}

function children(node: Node): Node[] {
  return Object.values(node).flat().filter(isNode);
}

function nameOf(identifier: Node): string {
  return typeof identifier['name'] === 'string' ? identifier['name'] : '';
}

function literalText(node: Node): string | undefined {
  return typeof node['value'] === 'string' ? node['value'] : undefined;
}

function isFunction(node: Node): boolean {
  return /^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type);
}

/** Type syntax, but for the wrappers that hold an expression (`x as T`, `x!` …) or a constructor's parameter. */
function isTypeSyntax(node: Node): boolean {
  const holdsCode = /^TS(As|Satisfies|NonNull|Instantiation)Expression$|^TS(TypeAssertion|ParameterProperty)$/;
  return node.type.startsWith('TS') && !holdsCode.test(node.type);
}

/** Not a key or a member's name: `{ process: 1 }` and `worker.process` are no references to `process`. */
function isReference(node: Node, parent: Node | undefined): boolean {
  if (parent === undefined) return true;
  if (parent.type === 'MemberExpression') return parent['object'] === node || parent['computed'] === true;
  if (/^(Property|PropertyDefinition|MethodDefinition|AccessorProperty)$/.test(parent.type)) {
    return parent['value'] === node || parent['computed'] === true || parent['shorthand'] === true;
  }
  return !/Specifier$|^LabeledStatement$|^BreakStatement$|^ContinueStatement$/.test(parent.type);
}

/** The name that a variable, property or method gives to the function it holds. */
function nameOfBound(node: Node): string | undefined {
  const holder = node.type === 'VariableDeclarator' ? node['id'] : node['key'];
  return isNode(holder) && nameOf(holder) !== '' ? nameOf(holder) : undefined;
}

/** The function given to `promise.catch(…)`. */
function promiseHandler(node: Node): Node | undefined {
  const callee = node['callee'];
  if (node.type !== 'CallExpression' || !isNode(callee) || callee.type !== 'MemberExpression') return undefined;
  if (!isNode(callee['property']) || nameOf(callee['property']) !== 'catch') return undefined;
  const [handler] = Array.isArray(node['arguments']) ? node['arguments'] : [];
  return isNode(handler) && isFunction(handler) ? handler : undefined;
}
