import type { LanguageModelV4FunctionTool, LanguageModelV4ProviderTool } from '@ai-sdk/provider';
import { asSchema, type Schema } from '@ai-sdk/provider-utils';
import type { Agent } from './agent.ts';
import type { AgentTool } from './tool.ts';

export type ModelTool = LanguageModelV4FunctionTool | LanguageModelV4ProviderTool;

const descriptions = new WeakMap<Agent, Promise<readonly ModelTool[]>>();
const schemas = new WeakMap<AgentTool, Schema>();

/** An agent's tools as a model is told of them. Their JSON Schemas are made once per agent. */
export function modelTools(agent: Agent): Promise<readonly ModelTool[]> {
  let made = descriptions.get(agent);
  if (made === undefined) {
    made = Promise.all([...agent.tools].map(([name, definition]) => describe(name, definition)));
    descriptions.set(agent, made);
  }
  return made;
}

async function describe(name: string, definition: AgentTool): Promise<ModelTool> {
  if (definition.type === 'provider') return { type: 'provider', id: definition.id as `${string}.${string}`, name, args: definition.args ?? {} };
  return {
    type: 'function',
    name,
    inputSchema: await schemaOf(definition).jsonSchema,
    ...(typeof definition.description === 'string' ? { description: definition.description } : {}),
    ...(definition.strict === undefined ? {} : { strict: definition.strict }),
    ...(definition.providerOptions === undefined ? {} : { providerOptions: definition.providerOptions }),
  };
}

function schemaOf(definition: AgentTool): Schema {
  let schema = schemas.get(definition);
  if (schema === undefined) {
    schema = asSchema(definition.inputSchema);
    schemas.set(definition, schema);
  }
  return schema;
}

export type CheckedInput = { readonly valid: true; readonly value: unknown } | { readonly valid: false; readonly problem: string };

/** Checks a call's input against its tool's schema; `value` is as the schema made it (defaults, transforms). */
export async function checkInput(definition: AgentTool, input: unknown): Promise<CheckedInput> {
  const { validate } = schemaOf(definition);
  if (validate === undefined) return { valid: true, value: input };
  const result = await validate(input);
  return result.success ? { valid: true, value: result.value } : { valid: false, problem: result.error.message };
}
