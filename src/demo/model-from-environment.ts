import type { LanguageModelV4 } from '@ai-sdk/provider';
import { HoldfastError } from '../core/errors.ts';
import { delay } from './delay.ts';
import { ruleModel } from './rule-model.ts';

/** The variables that choose the demo agent's model. */
export interface ModelEnvironment {
  /** `openai/NAME`, `anthropic/NAME` or `openai-compatible/NAME`; absent or empty: the offline rule model. */
  readonly HOLDFAST_MODEL?: string | undefined;
  /** Address in place of the provider's own. */
  readonly HOLDFAST_BASE_URL?: string | undefined;
  /** Key in place of the provider's own variable (`OPENAI_API_KEY`, `ANTHROPIC_API_KEY`). */
  readonly HOLDFAST_API_KEY?: string | undefined;
}

interface Connection {
  readonly name: string;
  readonly baseUrl: string | undefined;
  readonly apiKey: string | undefined;
}

interface Provider {
  readonly package: string;
  readonly open: (connection: Connection) => Promise<LanguageModelV4>;
}

const forms = 'openai/NAME, anthropic/NAME or openai-compatible/NAME, as in HOLDFAST_MODEL=openai/gpt-5.1; leave it out for the offline model';

/** The provider packages are optional: each is loaded when it is asked for. */
const providers: Readonly<Record<string, Provider>> = {
  openai: {
    package: '@ai-sdk/openai',
    open: async ({ name, ...connection }) => (await import('@ai-sdk/openai')).createOpenAI(settingsOf(connection))(name),
  },
  anthropic: {
    package: '@ai-sdk/anthropic',
    open: async ({ name, ...connection }) => (await import('@ai-sdk/anthropic')).createAnthropic(settingsOf(connection))(name),
  },
  'openai-compatible': {
    package: '@ai-sdk/openai-compatible',
    open: async ({ name, baseUrl, apiKey }) => {
      if (baseUrl === undefined) {
        throw new HoldfastError('model_base_url_missing', 'HOLDFAST_MODEL=openai-compatible/… needs the address of the server: set HOLDFAST_BASE_URL, as in http://127.0.0.1:11434/v1');
      }
      const { createOpenAICompatible } = await import('@ai-sdk/openai-compatible');
      return createOpenAICompatible({ name: 'openai-compatible', baseURL: baseUrl, includeUsage: true, ...(apiKey === undefined ? {} : { apiKey }) })(name);
    },
  },
};

/**
 * The model that the environment asks for: the offline rule model by default. Rejects with a `HoldfastError`: `model_invalid` (no
 * such form), `model_base_url_missing`, `model_package_missing` (says what to install). Contacts nobody.
 */
export async function modelFromEnvironment(environment: ModelEnvironment): Promise<LanguageModelV4> {
  const asked = environment.HOLDFAST_MODEL ?? '';
  if (asked === '') return ruleModel({ delay, now: Date.now });
  const [, providerName = '', name = ''] = /^([^/]*)\/(.+)$/s.exec(asked) ?? [];
  const provider = Object.hasOwn(providers, providerName) ? providers[providerName] : undefined;
  if (provider === undefined || name.trim() === '') {
    throw new HoldfastError('model_invalid', `HOLDFAST_MODEL is ${JSON.stringify(asked)}; it must be ${forms}`);
  }
  try {
    return await provider.open({ name, baseUrl: environment.HOLDFAST_BASE_URL || undefined, apiKey: environment.HOLDFAST_API_KEY || undefined });
  } catch (error) {
    if (!isMissingPackage(error, provider.package)) throw error;
    throw new HoldfastError('model_package_missing', `HOLDFAST_MODEL=${asked} needs the package ${provider.package}, which is not installed: npm install ${provider.package}`, { cause: error });
  }
}

function settingsOf({ baseUrl, apiKey }: Omit<Connection, 'name'>): { readonly baseURL?: string; readonly apiKey?: string } {
  return { ...(baseUrl === undefined ? {} : { baseURL: baseUrl }), ...(apiKey === undefined ? {} : { apiKey }) };
}

/** Not found by this name: another missing module is a broken installation, and is shown as it is. */
function isMissingPackage(error: unknown, name: string): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND' && error.message.includes(`'${name}'`);
}
