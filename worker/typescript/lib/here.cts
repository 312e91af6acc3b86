/** The folder of the compiled library; only CommonJS knows it in both of its builds. */
export const here: string = __dirname;
