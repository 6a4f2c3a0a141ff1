import type { LanguageModelV4FunctionTool, LanguageModelV4ProviderTool } from '@ai-sdk/provider';
import { asSchema, type FlexibleSchema, type Schema } from '@ai-sdk/provider-utils';
import type { AgentTool } from './tool.ts';

export type ModelTool = LanguageModelV4FunctionTool | LanguageModelV4ProviderTool;

const descriptions = new WeakMap<AgentTool, { readonly name: string; readonly made: Promise<ModelTool> }>();
const schemas = new WeakMap<AgentTool, { readonly of: unknown; readonly schema: Schema }>();

/** Tools as a model is told of them. The JSON Schema of each is made once. */
export function modelTools(tools: ReadonlyMap<string, AgentTool>): Promise<readonly ModelTool[]> {
  return Promise.all([...tools].map(([name, definition]) => {
    const known = descriptions.get(definition);
    if (known?.name === name) return known.made;
    const made = describe(name, definition);
    descriptions.set(definition, { name, made });
    return made;
  }));
}

async function describe(name: string, definition: AgentTool): Promise<ModelTool> {
  if (definition.type === 'provider') return { type: 'provider', id: definition.id as `${string}.${string}`, name, args: definition.args ?? {} };
  return {
    type: 'function',
    name,
    inputSchema: await schemaOf(definition, definition.inputSchema).jsonSchema,
    ...(typeof definition.description === 'string' ? { description: definition.description } : {}),
    ...(definition.strict === undefined ? {} : { strict: definition.strict }),
    ...(definition.providerOptions === undefined ? {} : { providerOptions: definition.providerOptions }),
  };
}

function schemaOf(definition: AgentTool, given: FlexibleSchema): Schema {
  const known = schemas.get(definition);
  if (known?.of === given) return known.schema;
  const schema = asSchema(given);
  // Of the two schemas that a tool may have, that of its input is asked for at each call.
  if (given === definition.inputSchema) schemas.set(definition, { of: given, schema });
  return schema;
}

export type CheckedInput = { readonly valid: true; readonly value: unknown } | { readonly valid: false; readonly problem: string; readonly issues: readonly SchemaIssue[] };

/** One thing that a schema does not take, and where it is: `items.0.name`. */
export interface SchemaIssue {
  readonly path: string;
  readonly message: string;
}

/** Checks a call's input against its tool's schema; `value` is as the schema made it (defaults, transforms). */
export function checkInput(definition: AgentTool, input: unknown): Promise<CheckedInput> {
  return check(definition, definition.inputSchema, input);
}

/** Checks what somebody outside gives as a call's result against its tool's `outputSchema`, if it has one. */
export async function checkOutput(definition: AgentTool, output: unknown): Promise<CheckedInput> {
  return definition.outputSchema === undefined ? { valid: true, value: output } : check(definition, definition.outputSchema, output);
}

async function check(definition: AgentTool, given: FlexibleSchema, value: unknown): Promise<CheckedInput> {
  const { validate } = schemaOf(definition, given);
  if (validate === undefined) return { valid: true, value };
  const result = await validate(value);
  return result.success ? { valid: true, value: result.value } : { valid: false, problem: result.error.message, issues: issuesOf(result.error) };
}

/** The issues of a Standard Schema, wherever the AI SDK has put them: the error has them, or its cause is them. */
function issuesOf(error: Error): readonly SchemaIssue[] {
  const given: unknown = 'issues' in error ? error.issues : error.cause;
  if (!Array.isArray(given)) return [];
  return given.slice(0, 10).map(({ path = [], message }: { readonly path?: readonly unknown[]; readonly message?: unknown }) => ({
    path: path.map((place) => (typeof place === 'object' && place !== null && 'key' in place ? String(place.key) : String(place))).join('.'), message: String(message),
  }));
}
