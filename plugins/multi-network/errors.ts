import { NetworkError } from '../../lib/attachments/network.ts';
import { SlotsClosed } from '../../lib/attachments/slots.ts';
import { CniCode, CniError } from '../../lib/cni/errors.ts';
import { GrpcError } from '../../lib/cri/errors.ts';
import { AccessError, ApiError } from '../../lib/kubernetes/errors.ts';
import { translated as translatedBelow } from '../../lib/plugin/errors.ts';
import { RuntimeError } from '../../lib/runtime/errors.ts';
import { DefinitionMissing } from './networks.ts';

/** The one place that gives the errors of the layers below their codes. */
export function translated<T>(work: () => Promise<T>): Promise<T> {
  return translatedBelow(async () => {
    try {
      return await work();
    } catch (error) {
      throw codeFor(error);
    }
  });
}

function codeFor(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const as = (code: CniCode, message = error.message) => new CniError(code, message, { cause: error });
  if (error instanceof DefinitionMissing || error instanceof SlotsClosed) return as(CniCode.tryAgainLater);
  if (error instanceof GrpcError) return as(CniCode.tryAgainLater, `the kubelet: ${error.message}`);
  if (error instanceof ApiError) return as(CniCode.tryAgainLater, `the API server: ${error.message}`);
  if (error instanceof NetworkError || error instanceof AccessError) return as(CniCode.invalidConfig);
  if (error instanceof RuntimeError) return as((error.code ?? CniCode.invalidConfig) as CniCode);
  return error;
}
