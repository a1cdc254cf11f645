import { enableCompileCache } from 'node:module';

// Before anything else is loaded: what is compiled before this call is compiled anew each time.
enableCompileCache();
const { runProgram } = await import('./program.ts');
process.exitCode = await runProgram(process.argv.slice(2));
